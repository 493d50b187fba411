// The legend, which is also the score: a column for each network.

import { SECTIONS, short } from "./sections.mjs";

/** A table in `box`; `draw` fills it. */
export function networksTable(box) {
  let key = "";
  let cells = [];
  return {
    draw(section, run, previous, about) {
      const { name } = SECTIONS[section];
      const names = run.networks.map((network, r) => name(network, about, r));
      const before = run.count === 1 && previous ? name(previous.networks[0], about, 0) : null;
      const asked = JSON.stringify([names, before, run.inks]);
      if (asked !== key) {
        key = asked;
        cells = build(box, names, run.inks, before, previous);
      }
      for (let r = 0; r < run.count; r += 1) {
        cells[0][r].textContent = loss(run.now?.loss[r] ?? null);
        cells[1][r].textContent = share(run.test?.accuracy[r]);
      }
      if (before) {
        cells[0][1].textContent = loss(previous.now?.loss[0] ?? null);
        cells[1][1].textContent = share(previous.test?.accuracy[0]);
      }
    },
  };
}

const loss = (v) => (v === null ? "–" : Number.isFinite(v) ? (v < 100 ? v.toPrecision(3) : short(v)) : "diverged");
const share = (v) => (Number.isFinite(v) ? `${(100 * v).toFixed(1)} %` : "–");

function build(box, names, inks, before, previous) {
  const table = document.createElement("table");
  if (names.length > 2) table.className = "several";
  table.createCaption().textContent = "Networks now";
  const head = table.createTHead().insertRow();
  head.insertCell();
  const column = (text, { colour, dash }, faint) => {
    const th = head.appendChild(document.createElement("th"));
    th.scope = "col";
    if (faint) th.className = "faint";
    const mark = th.appendChild(document.createElement("i"));
    mark.style.borderTopColor = colour;
    mark.style.borderTopStyle = dash.length === 0 ? "solid" : dash[0] < 4 ? "dotted" : "dashed";
    th.append(text);
  };
  names.forEach((text, r) => column(text, inks[r], false));
  if (before !== null) column(`before: ${before}`, previous.inks[0], true);
  const body = table.createTBody();
  const rows = ["training loss", "test accuracy"].map((text) => {
    const row = body.insertRow();
    const th = row.appendChild(document.createElement("th"));
    th.scope = "row";
    th.textContent = text;
    return [...names, ...(before === null ? [] : [before])].map((_, i) => {
      const cell = row.insertCell();
      if (i >= names.length) cell.className = "faint";
      return cell;
    });
  });
  box.replaceChildren(table);
  return rows;
}
