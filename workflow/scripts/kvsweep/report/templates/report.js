"use strict";
// Sorts and filters the tables and shows the evidence of a cell. All that comes from data is put in as text.

// --- sorting: a click on a head sorts up, then down, then as it was

function keyOf(row, column) {
  const cell = row.cells[column];
  if (!cell) return null;
  if (cell.dataset.v) return Number(cell.dataset.v);
  const text = cell.textContent.trim();
  if (text === "" || text === "–") return null;
  const number = Number.parseFloat(text.replace("−", "-").replaceAll(",", ""));
  return Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null); // what is not known comes last
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b, "en", { numeric: true });
}

function sort(head) {
  const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
  table.order ??= [...body.rows];
  const next = { ascending: "descending", descending: "" }[head.getAttribute("aria-sort")] ?? "ascending";
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  let rows = table.order;
  if (next) {
    head.setAttribute("aria-sort", next);
    const sign = next === "ascending" ? 1 : -1;
    rows = rows.map((row) => [keyOf(row, column), row]);
    rows.sort(([a], [b]) => (a === null || b === null ? compare(a, b) : sign * compare(a, b)));
    rows = rows.map(([, row]) => row);
  }
  body.append(...rows);
}

// --- set-ups that are folded wait in a template until they are opened

function prepare(part) {
  for (const head of part.querySelectorAll("table:has(tbody tr + tr) thead th")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
  }
  for (const grid of part.querySelectorAll("table.status")) {
    const first = grid.querySelector("td button");
    if (first) first.tabIndex = 0;
  }
}

const waitingIn = (setUp) => setUp.querySelector(":scope > template");

function unfold(setUp) {
  const waiting = waitingIn(setUp);
  if (!waiting) return;
  waiting.replaceWith(waiting.content);
  prepare(setUp);
}

prepare(document);
document.addEventListener("toggle", (event) => event.target.open && unfold(event.target), true);

// --- filtering: rows of a section that have all the words, in themselves or in the name of their set-up

const MOST_OPENED = 4; // set-ups with rows that match
const words = new WeakMap();

function wordsOf(element) {
  if (!words.has(element)) words.set(element, element.textContent.toLowerCase());
  return words.get(element);
}

function filter(input) {
  const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0, all = 0, found = 0;
  for (const setUp of input.closest("section").querySelectorAll(".set-up")) {
    // Of the name only how its words begin: every row of a model …-Q8_0 would have q8_0.
    const title = wordsOf(setUp.querySelector("summary")).split(/[\s:]+/);
    const left = wanted.filter((word) => !title.some((part) => part.startsWith(word)));
    let inSetUp = 0;
    for (const row of (waitingIn(setUp)?.content ?? setUp).querySelectorAll("tbody tr")) {
      all += 1;
      row.hidden = !left.every((word) => wordsOf(row).includes(word));
      inSetUp += !row.hidden;
    }
    setUp.hidden = wanted.length > 0 && inSetUp === 0;
    if (wanted.length && inSetUp && found++ < MOST_OPENED) setUp.open = true;
    shown += inSetUp;
  }
  input.closest(".filter").querySelector("output").value = wanted.length ? `${shown} of ${all} rows` : "";
}

let waiting;
document.addEventListener("input", (event) => {
  if (!event.target.matches(".filter input")) return;
  clearTimeout(waiting);
  waiting = setTimeout(filter, 120, event.target);
});

// --- the grid of cells: arrow keys move, Enter opens

const { texts, cells } = JSON.parse(document.getElementById("evidence").textContent);
const dialog = document.getElementById("cell");

function put(parent, tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
}

function open(number) {
  const [title, setUp, status, reason, logLine, command, ...facts] = (cells[number] ?? []).map((n) => texts[n]);
  if (title === undefined) return;
  dialog.replaceChildren();
  put(dialog, "h2", title).id = "cell-title";
  put(dialog, "p", setUp);
  put(dialog, "p", reason ? `${status}: ${reason}` : status).className = "kind";
  if (logLine) put(dialog, "p", "The line of the log that this rests on:");
  if (logLine) put(dialog, "pre", logLine);
  if (command) put(dialog, "p", "To run it by hand:");
  if (command) put(dialog, "pre", command);
  const list = put(dialog, "dl", "");
  for (let i = 0; i < facts.length; i += 2) {
    put(list, "dt", facts[i]);
    put(list, "dd", facts[i + 1]);
  }
  if (command && navigator.clipboard) {
    const copy = put(dialog, "button", "Copy the command");
    copy.onclick = () => navigator.clipboard.writeText(command).then(() => (copy.textContent = "Copied"));
  }
  put(dialog, "button", "Close").onclick = () => dialog.close();
  dialog.showModal();
  dialog.scrollTop = 0;
  history.replaceState(null, "", `#cell-${number}`);
}

dialog.addEventListener("close", () => history.replaceState(null, "", "#cells"));
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it

document.addEventListener("keydown", (event) => {
  const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
  const from = event.target.closest?.(".status td button");
  if (!step || !from) return;
  event.preventDefault();
  const [dx, dy] = step;
  let cell = from.parentNode;
  let row = cell.parentNode;
  for (;;) {
    if (dy) row = dy > 0 ? row.nextElementSibling : row.previousElementSibling;
    cell = row?.cells[cell.cellIndex + dx];
    if (!cell) return;
    const to = row.hidden ? null : cell.querySelector("button");
    if (to) {
      from.tabIndex = -1;
      to.tabIndex = 0;
      return to.focus();
    }
  }
});

document.addEventListener("click", (event) => {
  const head = event.target.closest("thead th");
  const cell = event.target.closest("button[data-c]");
  if (head && event.target.closest("button")) sort(head);
  if (cell) open(Number(cell.dataset.c));
});

function openAddressed() {
  const asked = /^#cell-(\d+)$/.exec(location.hash);
  if (asked) open(Number(asked[1]));
}
addEventListener("hashchange", openAddressed);
openAddressed();

// --- paper shows everything

addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll(".set-up:not([open])")) {
    unfold(folded);
    folded.open = folded.dataset.unfolded = true;
  }
});
addEventListener("afterprint", () => {
  for (const unfolded of document.querySelectorAll("[data-unfolded]")) {
    unfolded.open = false;
    delete unfolded.dataset.unfolded;
  }
});
