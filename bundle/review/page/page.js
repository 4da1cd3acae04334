// the page: the list of cases, the case that is open, and what is done with it

import { Case } from "./case.js";
import { read } from "./server.js";
import { Viewer } from "./viewer.js";

const $ = selector => document.querySelector(selector);
const all = selector => [...document.querySelectorAll(selector)];
const SIGNS = { open: "", accepted: "✓", corrected: "✎", rejected: "✕" };

let rows = [], sorted = ["case", 1], current = null, kind = "lesion";

const ui = {
  who: () => $("#who").value.trim() || "unknown",
  fault(sentence) {
    $("#fault").textContent = sentence;
    $("#fault").hidden = !sentence;
  },
  state(sentence) {
    $("#state").textContent = sentence;
    $("#state").hidden = !sentence;
    document.body.dataset.busy = sentence ? "1" : "";
  },
  /** Show where the case that is open stands. */
  show(open) {
    const { facts, line, strokes, redone } = open, row = rows.find(({ id }) => id === facts.id);
    const ml = line.lesion_ml ?? facts.automatic_ml, change = ml - facts.automatic_ml;
    $("#volume").textContent = `${ml.toFixed(1)} ml${strokes.length ? `, automatic ${facts.automatic_ml.toFixed(1)} (${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(1)})` : ", automatic"}`;
    $("#undo").disabled = !strokes.length;
    $("#redo").disabled = !redone.length;
    $("#clear").disabled = !strokes.length;
    $("[data-verdict=accepted]").disabled = strokes.length > 0;
    $("[data-verdict=corrected]").disabled = !strokes.length;
    for (const button of all("[data-verdict]")) button.setAttribute("aria-checked", button.dataset.verdict === line.verdict);
    if (document.activeElement !== $("#remark")) $("#remark").value = line.remark;
    $("#saved").textContent = line.version ? `Saved, version ${line.version}` : "";
    $("#history").replaceChildren(...open.versions.toReversed().map(entry => item(open, entry)));
    Object.assign(row, { lesion_ml: ml, components: line.components ?? row.components, verdict: line.verdict, remark: line.remark });
    list();
  },
};

function item(open, entry) {
  const li = document.createElement("li"), marks = entry.strokes.length;
  const what = entry.change === "verdict" ? entry.verdict : `${marks} mark${marks === 1 ? "" : "s"}, ${entry.lesion_ml.toFixed(1)} ml`;
  li.append(`${entry.version}. ${new Date(entry.when).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })} ${entry.who}: ${what}`);
  if (entry.version !== open.line.version && entry.change === "strokes") {
    const back = document.createElement("button");
    back.textContent = "back to this";
    back.onclick = () => open.draw(entry.strokes);
    li.append(back);
  }
  return li;
}

const viewer = new Viewer($("#view"), {
  stroke: (voxels, shift) => current?.add({ kind: (kind === "lesion") !== shift ? "lesion" : "normal", shape: voxels.length > 1 ? "scribble" : "point", voxels }),
  place: voxel => ($("#place").textContent = `voxel ${voxel.join(", ")}`),
  window: () => sliders(),
  scale: pixels => {
    $("#scale").hidden = !pixels;
    $("#scale").style.width = `${50 * pixels}px`;
  },
});

// ------------------------------------------------------------------ the list

function value(row, column) {
  return column === "warned" ? row.warnings.length : row[column];
}

function list() {
  const [column, way] = sorted;
  rows.sort((a, b) => {
    const [x, y] = [value(a, column), value(b, column)];
    return way * (x < y ? -1 : x > y ? 1 : 0);
  });
  for (const button of all("th button")) {
    if (button.dataset.column === column) button.dataset.sorted = way > 0 ? "up" : "down";
    else delete button.dataset.sorted;
  }
  $("#cases tbody").replaceChildren(...rows.map(row => {
    const tr = document.createElement("tr");
    tr.tabIndex = 0;
    tr.dataset.id = row.id;
    tr.setAttribute("aria-current", current?.facts.id === row.id);
    const cells = [row.case, row.lesion_ml.toFixed(1), row.components, row.warnings.length ? "⚠" : "", SIGNS[row.verdict]];
    cells.forEach((text, at) => (tr.insertCell().textContent = text) || at);
    tr.cells[0].title = row.case;
    tr.cells[1].className = tr.cells[2].className = "number";
    tr.cells[3].title = row.warnings.join("\n");
    tr.cells[4].title = row.verdict;
    tr.onclick = () => open(row.id);
    tr.onkeydown = event => event.key === "Enter" && (event.stopPropagation(), open(row.id));
    return tr;
  }));
}

async function open(id) {
  $("#cases").classList.remove("open");
  current?.close();
  current = null;
  ui.fault("");
  const row = rows.find(row => row.id === id);
  $("#title").textContent = row.case;
  document.title = `${row.case} – IterMask² review`;
  history.replaceState(null, "", `#${id}`);
  const opened = (current = new Case(id, viewer, ui));
  list();
  try {
    await opened.load();
  } catch (error) {
    if (current === opened) ui.state(""), ui.fault(error.message);
    return;
  }
  if (current !== opened) return;
  const { warnings, layers } = opened.facts;
  $("#warnings").replaceChildren(...warnings.map(sentence => Object.assign(document.createElement("p"), { textContent: `⚠ ${sentence}` })));
  $("#warnings").hidden = !warnings.length;
  $("#show-score").checked = false;
  $("#show-score").disabled = !layers.includes("score");
  $("[data-picture=reconstruction]").disabled = !layers.includes("reconstruction");
  choose("picture", "scan");
  sliders();
  ui.show(opened);
  opened.wait();
}

function next() {
  const at = rows.findIndex(({ id }) => id === current?.facts.id);
  const found = [...rows.slice(at + 1), ...rows.slice(0, at + 1)].find(({ verdict }) => verdict === "open");
  if (found) open(found.id);
  else ui.fault("All cases are decided.");
}

// ------------------------------------------------------------------ the panel

function choose(group, chosen) {
  for (const button of all(`[data-${group}]`)) button.setAttribute("aria-checked", button.dataset[group] === String(chosen));
}

const setKind = to => choose("kind", (kind = to));
const setTool = to => choose("tool", (viewer.tool = to));
const setPlanes = to => (choose("plane", to), viewer.planes(Number(to)));
const setPicture = to => (choose("picture", to), current?.show("reconstruction", to === "reconstruction"));
const toggle = name => {
  const box = $(`#show-${name}`);
  if (!box.disabled) (box.checked = !box.checked), current?.show(name, box.checked);
};

function sliders() {
  const { darkest, brightest, lowest, highest } = viewer.window, of = at => Math.round((at - lowest) / (highest - lowest || 1) * 1000);
  [$("#darkest").value, $("#brightest").value] = [of(darkest), of(brightest)];
}

for (const id of ["darkest", "brightest"]) $(`#${id}`).oninput = () => {
  const { lowest, highest } = viewer.window, at = id => lowest + $(id).value / 1000 * (highest - lowest);
  if (at("#darkest") < at("#brightest")) viewer.window = { darkest: at("#darkest"), brightest: at("#brightest") };
};

const verdict = to => current?.decide(to, $("#remark").value);
for (const button of all("[data-kind]")) button.onclick = () => setKind(button.dataset.kind);
for (const button of all("[data-tool]")) button.onclick = () => setTool(button.dataset.tool);
for (const button of all("[data-plane]")) button.onclick = () => setPlanes(button.dataset.plane);
for (const button of all("[data-picture]")) button.onclick = () => setPicture(button.dataset.picture);
for (const button of all("[data-verdict]")) button.onclick = () => verdict(button.dataset.verdict);
for (const name of ["mask", "score"]) $(`#show-${name}`).onchange = ({ target }) => current?.show(name, target.checked);
for (const button of all("th button")) button.onclick = () => {
  const { column } = button.dataset;
  sorted = [column, sorted[0] === column ? -sorted[1] : column === "case" ? 1 : -1];
  list();
};
$("#undo").onclick = () => current?.undo();
$("#redo").onclick = () => current?.redo();
$("#clear").onclick = () => current?.draw([]);
$("#next").onclick = next;
$("#help").onclick = () => $("#keys").showModal();
$("#show-cases").onclick = () => $("#cases").classList.toggle("open");
$("#remark").onchange = () => current?.decide(current.line.verdict, $("#remark").value);
$("#who").onchange = () => localStorage.setItem("who", $("#who").value);

const KEYS = {
  l: () => setKind("lesion"), n: () => setKind("normal"),
  p: () => setTool("point"), b: () => setTool("brush"), v: () => setTool("look"),
  m: () => toggle("mask"), o: () => toggle("score"), s: () => setPicture("scan"), h: () => $("[data-picture=reconstruction]").disabled || setPicture("reconstruction"),
  1: () => setPlanes(0), 3: () => setPlanes(3),
  a: () => $("[data-verdict=accepted]").disabled || verdict("accepted"),
  c: () => $("[data-verdict=corrected]").disabled || verdict("corrected"),
  r: () => verdict("rejected"),
  arrowup: () => viewer.scroll(1), arrowdown: () => viewer.scroll(-1),
  enter: next, "?": () => $("#keys").showModal(),
};

// before NiiVue, which has keys of its own
addEventListener("keydown", event => {
  const key = event.key.toLowerCase(), typing = event.target.matches("input:not([type=checkbox])"), pressed = event.target.matches("button, tr, summary, dialog");
  if (typing || $("#keys").open || event.altKey || (key === "enter" && pressed)) return;
  if (event.ctrlKey || event.metaKey) {
    if (key === "z" && !event.shiftKey) current?.undo();
    else if (key === "y" || key === "z") current?.redo();
    else return;
  } else if (KEYS[key] && current) KEYS[key]();
  else return;
  event.preventDefault();
  event.stopPropagation();
}, true);

// ------------------------------------------------------------------ start

setKind("lesion");
setTool("point");
choose("plane", 3);
try {
  await viewer.attach();
  const { cases, user } = await read("cases");
  rows = cases;
  $("#who").value = localStorage.getItem("who") ?? user;
  list();
  const asked = location.hash.slice(1);
  await open(rows.some(({ id }) => id === asked) ? asked : rows[0].id);
} catch (error) {
  ui.fault(error.message);
}
