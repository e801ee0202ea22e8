"use strict";
// Comfort only: the page says everything without it. Text is moved as text, never as markup.

const make = (tag, className, text) => {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
};

const copy = async (node, button) => {
  try {
    await navigator.clipboard.writeText(node.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(node); // no clipboard here: ready for Ctrl+C
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
};

for (const node of document.querySelectorAll(".copy")) {
  const button = make("button", "button", "Copy");
  button.type = "button";
  button.setAttribute("aria-label", `Copy ${node.textContent}`);
  button.addEventListener("click", () => copy(node, button));
  if (node.parentNode.matches(".command")) node.before(button); else node.after(button);
}

for (const table of document.querySelectorAll("table.filterable")) {
  const rows = [...table.tBodies[0].rows].map((row) => [row, row.textContent.toLowerCase()]);
  if (rows.length < 8) continue;
  const box = make("p", "filter", "");
  const label = make("label", "", "Show only lines with ");
  const input = document.createElement("input");
  input.type = "search";
  const count = make("span", "aside", "");
  count.setAttribute("role", "status");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, text] of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = words.length ? ` ${shown} of ${rows.length}` : "";
  });
  label.append(input);
  box.append(label, count);
  table.before(box);
}

const folds = [...document.querySelectorAll("main details")];
if (folds.length > 3) {
  const button = make("button", "button", "Open all parts");
  button.type = "button";
  button.addEventListener("click", () => {
    const open = folds.some((fold) => !fold.open);
    for (const fold of folds) fold.open = open;
    button.textContent = open ? "Close all parts" : "Open all parts";
  });
  document.querySelector(".banner").append(button);
}
