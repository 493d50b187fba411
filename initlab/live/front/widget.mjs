// The live section in its two homes: a page, where a worker answers, and a notebook, where the kernel does.

import { mount } from "./lab.mjs";
import { remote } from "./remote.mjs";
import { call, copied, shared } from "./share.mjs";
import { hash, read } from "./address.mjs";

let worker = null;

/** The page's worker, one for all of its sections. */
function workerAt(address) {
  if (worker) return worker;
  const thread = new Worker(address, { type: "module" });
  const line = remote((message) => thread.postMessage(message));
  thread.addEventListener("message", ({ data }) => line.hear(data));
  thread.addEventListener("error", (event) => {
    event.preventDefault();
    worker = null; // the next section tries again
    thread.terminate();
    line.hangUp(new Error(event.message || "the worker could not be loaded"));
  });
  worker = line;
  return worker;
}

let clients = 0;

/** Bring a section of the page to life; `host` holds the figure that stands there until then. */
export async function bring(host, address) {
  const { section, ...initial } = JSON.parse(host.dataset.live);
  const client = (clients += 1);
  const line = workerAt(address);
  const about = await line.ask({ command: "about" });
  const asked = read(location.hash);
  const wished = asked?.section === section ? Object.entries(asked.settings) : [];
  const given = { ...initial, ...Object.fromEntries(wished.filter(([name]) => shared(section).includes(name))) };
  const still = [...host.children];
  const place = document.createElement("div");
  host.prepend(place);
  const hide = (yes) => still.forEach((child) => child.toggleAttribute("hidden", yes));
  try {
    host.live = await mount(place, {
      section, given, about, shareLabel: "Copy link", shown: () => hide(true),
      ask: (message) => line.ask({ ...message, client }),
      share(name, settings) {
        history.replaceState(null, "", hash(name, settings, shared(name)));
        return copied(location.href);
      },
    });
  } catch (error) {
    place.remove();
    hide(false);
    throw error;
  }
  place.addEventListener("livefailed", ({ detail }) => {
    hide(false);
    host.dispatchEvent(new CustomEvent("livefailed", { detail }));
  });
  place.addEventListener("liveback", () => {
    hide(true);
    host.dispatchEvent(new CustomEvent("liveback"));
  });
}

/** anywidget's entry: custom messages to the kernel. */
async function render({ model, el }) {
  const line = remote((message) => model.send(message));
  const hear = (message) => line.hear(message);
  model.on("msg:custom", hear);
  const place = el.appendChild(document.createElement("div"));
  // Keys are for the section's controls, not JupyterLab's shortcuts.
  place.dataset.lmSuppressShortcuts = "true";
  let live = null;
  mount(place, {
    section: model.get("section"), given: model.get("initial"), about: model.get("about"),
    ask: line.ask, shareLabel: "Copy as Python",
    share: (section, settings) => copied(call(section, settings)),
  }).then(
    (made) => { live = made; el.live = made; },
    (error) => {
      place.remove();
      const figure = el.appendChild(document.createElement("div"));
      figure.innerHTML = model.get("figure") ?? "";
      const line_ = el.appendChild(document.createElement("p"));
      line_.setAttribute("role", "status");
      line_.textContent = `The live version could not be shown: ${error.message}.`;
    },
  );
  return () => {
    live?.destroy();
    model.off("msg:custom", hear);
  };
}

export default { render };
