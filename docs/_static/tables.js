// A search field above each table that is marked `searchable`.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("table.searchable")) {
    const field = document.createElement("input");
    field.type = "search";
    field.className = "table-search";
    field.placeholder = "Search this table";
    field.setAttribute("aria-label", "Search this table");
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/);
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
    });
    (table.closest(".table-wrapper") || table).before(field);
  }
});
