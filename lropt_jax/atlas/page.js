// Draws what is said of one problem at one tuning budget. `atlas` is the data; `sortable`, `sort`,
// `copyable` and `saying` are those of every page.
const $ = id => document.getElementById(id), NS = "http://www.w3.org/2000/svg";
const words = {defaults: "none: the defaults", few: "8", all: "64"};
const lines = ["var(--c0)", "var(--c2)", "var(--c3)"], own = "var(--c1)";
let problem = atlas.problems[0], budget = "all", marked = null;
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) k === "onclick" ? made.addEventListener("click", v) : made.setAttribute(k, v);
  made.append(...children); return made;
}
function svg(tag, attributes, text) {
  const made = document.createElementNS(NS, tag);
  for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
  if (text !== undefined) made.textContent = text;
  return made;
}
const short = v => v === 0 ? "0" : Math.abs(v) < 0.001 || Math.abs(v) >= 1e5 ? v.toExponential(2).replace(/\.?0+e/, "e") : String(+v.toPrecision(3));
const shown = v => v === null ? "–" : problem.accuracy ? (100 * (1 - v)).toFixed(1) : String(+v.toPrecision(4));
const half = v => v === null ? "" : " ± " + (problem.accuracy ? (100 * v).toFixed(1) : String(+v.toPrecision(2)));
const read = v => shown(v) + (problem.accuracy ? "%" : "");
const kind = () => problem.accuracy ? "accuracy" : "loss";
const metric = split => problem.accuracy ? `${split} accuracy, %` : `${split} loss`;
const colour = (name, i) => name === marked ? own : lines[i % 3];

function round(low, high) {  // a few round values between two losses, as they are read
  const read = v => problem.accuracy ? 100 * (1 - v) : v, back = v => problem.accuracy ? 1 - v / 100 : v;
  const [a, b] = [read(low), read(high)].sort((x, y) => x - y), rough = (b - a) / 4 || 1, ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * [1, 2, 5, 10].find(m => m * ten >= rough * .9), found = [];
  for (let v = Math.ceil(a / step - 1e-9) * step; v <= b + 1e-9 * step; v += step) found.push([back(v), String(+v.toPrecision(4))]);
  return found;
}
function frame(width, height, x, y, options) {
  const small = options.small, s = svg("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.label, class: "drawn"});
  const left = small ? 2 : 56, right = width - (small ? 2 : 12), top = small ? 4 : 12, bottom = height - (small ? 16 : 42);
  const px = v => left + Math.log(v / x[0]) / Math.log(x[1] / x[0]) * (right - left);
  const part = v => (Math.min(Math.max(v, y[0]), y[1]) - y[0]) / (y[1] - y[0] || 1);
  const up = problem.accuracy && !small;  // more is better: it goes up
  const py = v => up ? top + part(v) * (bottom - top) : bottom - part(v) * (bottom - top);
  s.append(svg("line", {x1: left, x2: right, y1: bottom, y2: bottom, class: "axis"}));
  const inside = options.ticks.filter(t => t >= x[0] && t <= x[1]);
  const every = small ? Math.max(1, Math.ceil(inside.length / 3)) : 1;
  inside.forEach((t, i) => {
    s.append(svg("line", {x1: px(t), x2: px(t), y1: bottom, y2: bottom + 4, class: "axis"}));
    if (i % every === 0) s.append(svg("text", {x: px(t), y: bottom + (small ? 15 : 18), "text-anchor": "middle"}, t < 0.01 ? t.toExponential(0) : t));
  });
  if (!small) {
    s.append(svg("line", {x1: left, x2: left, y1: top, y2: bottom, class: "axis"}));
    for (const [v, said] of round(y[0], y[1])) s.append(svg("text", {x: left - 6, y: py(v) + 4, "text-anchor": "end"}, said));
    s.append(svg("text", {x: (left + right) / 2, y: height - 6, "text-anchor": "middle"}, options.xlabel));
  }
  const hits = svg("g", {class: "hits", fill: "transparent"});
  const say = (a, b, said) => { const dot = svg("circle", {cx: px(a), cy: py(b), r: 9}); dot.append(svg("title", {}, said)); hits.append(dot); };
  return {s, px, py, bottom, say, hits};
}
const path = (points, p) => points.map(([a, b], i) => (i ? "L" : "M") + p.px(a).toFixed(1) + " " + p.py(b).toFixed(1)).join("");
const dots = (points, p, fill) => p.s.append(...points.map(([a, b]) => svg("circle", {cx: p.px(a), cy: p.py(b), r: 2.4, fill})));
function picked() {  // whose curves are shown: the best mean, others of its tied set, and who was clicked
  const tied = [leader(), ...problem.budgets[budget].tied.filter(n => n !== leader())];
  return [...new Set(marked ? [...tied.slice(0, 2), marked] : tied.slice(0, 3))];
}
const leader = () => Object.entries(problem.budgets[budget].rows).sort((a, b) => a[1].loss[0] - b[1].loss[0])[0][0];
const legend = names => el("div", {class: "legend"}, ...names.map((n, i) => el("span", {style: "--of:" + colour(n, i)}, n)));
function put(host, ...made) {  // a figure with its values, without those of the one before
  const figure = host.closest("figure");
  figure.querySelectorAll(".value").forEach(v => v.remove());
  host.replaceChildren(...made);
  saying(figure);
}
function curves() {
  const names = picked(), n = problem.counts, all = names.flatMap(o => problem.tuning[o][0]);
  const top = Math.min(problem.before, Math.max(...all)), least = Math.min(...all);
  const low = Math.max(least - .15 * (top - least), problem.accuracy ? 0 : -Infinity);  // a band may be open
  const p = frame(420, 280, [1, n[n.length - 1]], [low, top], {label: `Tuning curves of ${names.join(", ")} on ${problem.name}`, ticks: [1, 2, 4, 8, 16, 32, 64], xlabel: "configurations tried"});
  names.forEach((o, i) => {
    const [mean, below, above] = problem.tuning[o];
    const up = n.map((k, j) => [k, above[j] ?? problem.before]), down = n.map((k, j) => [k, below[j] ?? low]).reverse();
    p.s.append(svg("path", {d: path([...up, ...down], p) + "Z", fill: colour(o, i), opacity: .15}));
    p.s.append(svg("path", {d: path(n.map((k, j) => [k, mean[j]]), p), fill: "none", stroke: colour(o, i), "stroke-width": 2}));
    n.forEach((k, j) => p.say(k, mean[j], `${o}: the best of ${k} has a mean validation ${kind()} of ${read(mean[j])} (median: ${read(above[j])} to ${read(below[j])})`));
  });
  p.s.append(p.hits);
  put($("curves"), legend(names), p.s);
}
const basinOf = o => problem.basins[o].rates.map((r, i) => [r, problem.basins[o].losses[i]]);
const DECADES = [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, .01, .1, 1, 10, 100, 1000];
const HALF = 10 ** .25;  // from the middle of half a decade to its end
function endsOf(names) {
  const rates = names.flatMap(o => problem.basins[o].rates);
  return [Math.min(...rates) / HALF, Math.max(...rates) * HALF];
}
function basins() {
  const names = picked(), all = names.flatMap(basinOf).map(v => v[1]);
  const low = Math.min(...all), top = Math.min(problem.before, Math.max(...all));
  const p = frame(420, 280, endsOf(names), [low, top], {label: `Basins of ${names.join(", ")} on ${problem.name}`, ticks: DECADES, xlabel: "learning rate"});
  names.forEach((o, i) => {
    p.s.append(svg("path", {d: path(basinOf(o), p), fill: "none", stroke: colour(o, i), "stroke-width": 2}));
    dots(basinOf(o), p, colour(o, i));
    basinOf(o).forEach(([r, v]) => p.say(r, v, `${o}: rates about ${short(r)} come to a validation ${kind()} of ${read(v)}`));
  });
  p.s.append(p.hits);
  put($("basin"), legend(names), p.s);
  const every = Object.keys(problem.basins), lowest = Math.min(...every.flatMap(o => problem.basins[o].losses)), ends = endsOf(every);
  $("smalls").replaceChildren(...every.map(o => {
    const points = basinOf(o), mine = problem.basins[o], best = Math.min(...mine.losses), of = o === marked ? own : lines[0];
    const enough = best + .1 * Math.max(problem.before - best, 0), good = points.filter(v => v[1] <= enough).map(v => v[0]);
    const range = `${+(good[0] / HALF).toPrecision(1)} to ${+(good[good.length - 1] * HALF).toPrecision(1)}`;
    const q = frame(170, 92, ends, [lowest, problem.before], {label: `Basin of ${o}: good rates from ${range}`, ticks: DECADES, small: true});
    for (const [r, v] of points) if (v <= enough) q.s.append(svg("rect", {x: q.px(r / HALF), width: q.px(r * HALF) - q.px(r / HALF), y: 0, height: q.bottom, fill: of, opacity: .2}));
    q.s.append(svg("path", {d: path(points, q), fill: "none", stroke: of, "stroke-width": 1.8}));
    return el("figure", {}, q.s, el("figcaption", {}, el("strong", {}, o), `: ${range} (${mine.decades} decades)`));
  }));
}
function choose(host, items, current, pick) {
  const inside = host.contains(document.activeElement);  // the keyboard's place stays where it was
  host.replaceChildren(...items.map(([id, text, more]) =>
    el("button", {type: "button", "aria-pressed": id === current, onclick: () => pick(id)}, text, ...(more ? [el("small", {}, more)] : []))));
  if (inside) host.querySelector("[aria-pressed=true]").focus();
}
function paste(name) {
  const row = problem.budgets[budget].rows[name];
  if (!row || !row.code) return "";
  const made = el("div", {class: "code"}, el("pre", {}, el("code", {}, row.code)));
  copyable(made);
  return made;
}
function answer() {
  const tied = problem.budgets[budget].tied, best = leader(), name = marked || best;
  $("codes").replaceChildren(...[...new Set([best, ...(marked ? [marked] : [])])].map(paste));
  $("answer").textContent = tied.length > 1
    ? `On ${problem.name} there is no order between ${tied.join(", ")}: nobody is better than they, beyond chance. The best mean is ${best}'s.`
    : `On ${problem.name} ${tied[0]} is better than all others, beyond chance.`;
  const families = Object.entries(problem.schedules[name] || {}).map(([family, [rate, loss]]) =>
    `${family.replaceAll("_", "-")} from ${short(rate)}, ${read(loss)}`);
  $("families").textContent = families.length && budget !== "defaults" ? `The best of ${name} under each schedule (peak rate, validation ${kind()}): ${families.join("; ")}.` : "";
}
function ranks() {
  const found = problem.budgets[budget], before = $("table").querySelector("[aria-sort]"), tied = found.tied, best = leader();
  const kept = before && {column: before.cellIndex, down: before.getAttribute("aria-sort") === "descending"};
  const focused = document.activeElement.closest("#table tbody") && document.activeElement.textContent;
  const heads = ["optimizer", "rank", metric("test"), "updates to target", "basin (decades)", "LR sensitivity"];
  const rows = Object.entries(found.rows).sort((a, b) => a[1].rank[0] - b[1].rank[0] || a[1].loss[0] - b[1].loss[0]);
  $("table").replaceChildren(
    el("caption", {class: "heard"}, `The optimizers on ${problem.name}`),
    el("thead", {}, el("tr", {}, ...heads.map(h => el("th", {scope: "col"}, h)))),
    el("tbody", {}, ...rows.map(([name, r]) => {
      const basin = problem.basins[name], steps = problem.steps[name];
      const badge = name === best ? (tied.length > 1 ? "best mean" : "best") : tied.includes(name) ? "tied" : "";
      const button = el("button", {type: "button", "aria-pressed": name === marked, title: "Its line and curves", onclick: () => { marked = name === marked ? null : name; draw(); }}, name);
      const cells = [r.rank[0] === r.rank[1] ? r.rank[0] : `${r.rank[0]}–${r.rank[1]}`, shown(r.loss[0]) + half(r.loss[1]),
        steps === null ? "never" : steps.toLocaleString("en"), basin.decades, basin.sensitivity === null ? "–" : String(+basin.sensitivity.toPrecision(2))];
      return el("tr", badge ? {class: "best"} : {}, el("th", {scope: "row"}, button, ...(badge ? [" ", el("span", {class: "badge"}, badge)] : [])), ...cells.map(c => el("td", {}, c)));
    })));
  sortable($("table"));
  kept ? sort($("table"), kept.column, kept.down) : sort($("table"), 1, false);
  if (focused) [...$("table").querySelectorAll("tbody button")].find(b => b.textContent === focused)?.focus();
  $("about").textContent = `Mean ± 95% interval over the fresh seeds. Rank: the ranks that it may have. Updates to target: to a validation ${kind()} of ${read(problem.target)}, tuned on 64. A net that has learned nothing has ${read(problem.before)}. An optimizer's name shows its line and curves; a heading sorts.`;
}
function draw() {
  choose($("problems"), atlas.problems.map(p => [p.name, p.name, p.what]), problem.name, id => { problem = atlas.problems.find(p => p.name === id); draw(); });
  choose($("budgets"), Object.entries(words), budget, id => { budget = id; draw(); });
  answer(); ranks(); curves(); basins();
  history.replaceState(null, "", `#${problem.name}/${budget}${marked ? "/" + marked : ""}`);
}
function fromAddress() {  // atlas.html#mnist1d_mlp/few/adam
  const [name, at, who] = decodeURIComponent(location.hash.slice(1)).split("/");
  problem = atlas.problems.find(p => p.name === name) || problem;
  if (at in words) budget = at;
  if (who in problem.budgets[budget].rows) marked = who;
}
fromAddress();
draw();
window.addEventListener("hashchange", () => { fromAddress(); draw(); });
