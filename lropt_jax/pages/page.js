"use strict";
// Without this the page says the same; with it tables sort, code is copied, and points say their values.
const place = cell => {
  const text = cell.textContent.trim();
  return {text, number: parseFloat(text.replace(/^=/, "").replaceAll(",", "").replace("−", "-"))};
};
function sort(table, column, down) {
  const body = table.tBodies[0], found = [...body.rows].map(row => ({row, ...place(row.cells[column])}));
  const numbers = column > 0 && found.some(f => !isNaN(f.number));
  found.sort((a, b) => {
    if (!numbers) return (down ? -1 : 1) * a.text.localeCompare(b.text);
    if (isNaN(a.number) || isNaN(b.number)) return isNaN(a.number) - isNaN(b.number);  // no number: last
    return (down ? -1 : 1) * (a.number - b.number);
  });
  body.append(...found.map(f => f.row));
  [...table.tHead.rows[0].cells].forEach((cell, i) => {
    if (i === column) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    if (!cell.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort";
    button.append(...cell.childNodes);
    button.addEventListener("click", () => sort(table, column, cell.getAttribute("aria-sort") === "ascending"));
    cell.append(button);
  });
}
for (const code of document.querySelectorAll(".code")) {
  const button = document.createElement("button"), text = code.querySelector("code").textContent;
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(code.querySelector("code")); button.textContent = "Selected"; }
  });
  code.append(button);
}
for (const figure of document.querySelectorAll("figure")) {
  if (!figure.querySelector(".hits > *")) continue;
  const value = document.createElement("p");
  value.className = "value";
  figure.insertBefore(value, figure.querySelector("figcaption"));  // last, where there is none
  const say = event => {
    const said = event.target.closest(".hits > *");
    if (said) value.textContent = said.querySelector("title").textContent;
  };
  figure.addEventListener("pointerover", say);
  figure.addEventListener("click", say);
}
