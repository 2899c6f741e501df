"use strict";
// Without this the page says the same; with it tables sort, code is copied, and points say their values.
function numberIn(text) {  // "=1", "± 0.2", "−3 %", "12,345", "1e-05 (edge)"; NaN where words come first
  const found = /^[^\p{L}\d]*?([-−+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[-+]?\d+)?)(?![\p{L}\d.])/iu.exec(text);
  return found ? parseFloat(found[1].replaceAll(",", "").replace("−", "-")) : NaN;
}
function sort(table, column, down) {
  const body = table.tBodies[0], found = [...body.rows].map(row => {
    const text = row.cells[column].textContent.trim();
    return {row, text, number: numberIn(text)};
  });
  const isNumber = f => !isNaN(f.number);
  const numbers = column > 0 ? found.some(isNumber) : found.every(isNumber);  // names may begin with a digit
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
function sortable(table) {
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
function copyable(code) {
  const button = document.createElement("button"), held = code.querySelector("code");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(held.textContent); button.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(held); button.textContent = "Selected"; }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  code.append(button);
}
function saying(figure) {
  if (!figure.querySelector(".hits > *")) return;
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
document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll(".code").forEach(copyable);
document.querySelectorAll("figure").forEach(saying);
