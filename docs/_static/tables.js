// Above each table that is marked `searchable`: a field to search it, buttons for the values of its
// first column, and how many rows are shown. `page.html?q=words` opens the page searched.
document.addEventListener("DOMContentLoaded", () => {
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
  for (const table of document.querySelectorAll("table.searchable")) {
    const rows = [...table.tBodies[0].rows];
    const kind = (row) => row.cells[0].textContent.trim();
    const kinds = ["all", ...new Set(rows.map(kind))];
    let chosen = "all";

    // Code breaks after a bracket or a dot rather than within a word.
    for (const code of table.querySelectorAll("code, code .pre")) {
      if (!code.firstElementChild) code.innerHTML = code.innerHTML.replace(/\((?=[^\s)])|\.(?=[A-Za-z_])/g, "$&<wbr>");
    }

    const bar = make("div", { className: "table-search" });
    const field = make("input", { type: "search", placeholder: "Search this table: StepLR, momentum, clipnorm …" });
    field.setAttribute("aria-label", "Search this table");
    const count = make("output");
    const show = () => {
      const words = field.value.toLowerCase().split(/\s+/);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !((chosen === "all" || kind(row) === chosen) && words.every((word) => text.includes(word)));
        shown += !row.hidden;
      }
      count.textContent = shown ? `${shown} of ${rows.length} rows` : "No row has these words.";
      for (const button of buttons) button.setAttribute("aria-pressed", button.textContent === chosen);
    };
    const buttons = kinds.map((name) => make("button", { type: "button", textContent: name, onclick: () => { chosen = name; show(); } }));
    field.addEventListener("input", show);
    field.value = new URLSearchParams(location.search).get("q") || "";
    bar.append(field, ...buttons, count);
    (table.closest(".table-wrapper") || table).before(bar);
    show();
    if (field.value) bar.scrollIntoView();
  }
});
