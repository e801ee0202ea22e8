"use strict";
// Comfort only: sorting and filtering. Rows are moved and hidden; no text is made into markup.

const make = (tag, className, text) => {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
};
const collator = new Intl.Collator("en", { numeric: true });
const id = /^[0-9a-f]{24}$/; // digits in an id are no number
const compare = (a, b) => (id.test(a) && id.test(b) ? (a < b ? -1 : a > b ? 1 : 0) : collator.compare(a, b));

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => {
    const button = make("button", "sorter", head.textContent);
    button.type = "button";
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keyed = [...body.rows].map((row) => [row.cells[index].textContent.replaceAll(",", ""), row]);
      keyed.sort((a, b) => (down ? -1 : 1) * compare(a[0], b[0]));
      body.append(...keyed.map((pair) => pair[1]));
    });
    head.replaceChildren(button);
  });
}

const devices = [...document.querySelectorAll("table.devices")];
const title = document.getElementById("devices");
if (title && devices.some((table) => table.tBodies[0].rows.length > 5)) {
  const rows = devices.flatMap((table) => [...table.tBodies[0].rows]).map((row) => [row, row.textContent.toLowerCase()]);
  const box = make("p", "filter", "");
  const label = make("label", "", "Show only devices with ");
  const input = document.createElement("input");
  input.type = "search";
  const count = make("span", "aside", "");
  count.setAttribute("role", "status");
  const folds = devices.map((table) => [table.closest("details"), table]);
  const were = folds.map(([fold]) => fold.open);
  let waiting = 0;
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, text] of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    folds.forEach(([fold, table], index) => {
      const found = [...table.tBodies[0].rows].some((row) => !row.hidden);
      fold.hidden = !found;
      fold.open = words.length && shown <= 500 ? true : were[index];
    });
    count.textContent = words.length ? ` ${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")}` : "";
  };
  input.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(apply, rows.length > 2000 ? 150 : 0); });
  label.append(input);
  box.append(label, count);
  title.after(box);
}
