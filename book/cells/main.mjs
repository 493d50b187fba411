// The page's cells run on the server that the page came from. Only such a server names this script
// in the page (initlab/live/server.py): a static site knows nothing of it.

import { Bar } from "./bar.mjs";
import { Cell } from "./cell.mjs";
import { Kernel } from "./kernel.mjs";
import { Queue } from "./queue.mjs";
import { Widgets } from "./widgets.mjs";
import "./main.css";

const settings = JSON.parse(document.getElementById("initlab-server").textContent);
const kernel = new Kernel(settings);
const widgets = new Widgets(kernel);
const cells = [...document.querySelectorAll("div.cell")]
  .filter((element) => element.querySelector(".cell_input pre"))
  .map((element, index) => new Cell(element, index, widgets));
const queue = new Queue(kernel, cells);

if (cells.length) {
  for (const cell of cells) cell.connect(queue);
  document.querySelector("article h1").after(new Bar(kernel, queue).element);
}
