// What a run gives, in the form in which the page shows what was run before.

import { AnsiUp } from "ansi_up";
import { element } from "./dom.mjs";

const WIDGET = "application/vnd.jupyter.widget-view+json";
/** The page's own order: what serves a page without a kernel before a widget that needs one. */
const FORMS = ["text/html", WIDGET, "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain"];
const text = (value) => (Array.isArray(value) ? value.join("") : String(value));

export class Output {
  #stale = false; // whether what is shown goes as soon as something comes
  #byId = new Map();
  #drawn = Promise.resolve();
  #stream;

  /** @param {HTMLElement} shown the page's `div.cell_output` */
  constructor(shown, widgets) {
    this.element = shown;
    this.widgets = widgets;
  }

  /** A run starts: what is shown stays until something takes its place. */
  begin() {
    this.#stale = true;
  }

  /** The run has ended. */
  async end() {
    this.#freshen();
    this.element.hidden = !this.element.childElementCount;
    await this.#drawn;
    // Whoever brings parts of a page to life may look again.
    this.element.dispatchEvent(new CustomEvent("initlab:shown", { bubbles: true }));
  }

  /** A message of the kernel about this run. */
  take({ header, content }) {
    switch (header.msg_type) {
      case "stream":
        return this.#write(content.name, content.text);
      case "display_data":
      case "execute_result":
        return this.#show(content);
      case "update_display_data":
        return this.#draw(this.#byId.get(content.transient?.display_id), content.data);
      case "error":
        return this.#fail(content);
      case "clear_output":
        if (content.wait) this.#stale = true;
        else this.#clear();
    }
  }

  #clear() {
    this.element.replaceChildren();
    this.#byId.clear();
    this.#stream = undefined;
    this.#stale = false;
  }

  #freshen() {
    if (this.#stale) this.#clear();
    this.element.hidden = false;
  }

  #add(kind) {
    this.#freshen();
    this.#stream = undefined;
    const place = element("div", { class: `output ${kind}` });
    this.element.append(place);
    return place;
  }

  #write(name, written) {
    if (this.#stale || this.#stream?.name !== name) {
      const place = this.#add(name === "stderr" ? "stream stderr" : "stream");
      this.#stream = { name, place, written: "" };
    }
    const stream = this.#stream;
    stream.written = overwritten(stream.written + written);
    stream.place.replaceChildren(preformatted(stream.written));
  }

  #fail({ ename, evalue, traceback }) {
    const told = traceback?.length ? traceback.join("\n") : `${ename}: ${evalue}`;
    this.#add("traceback").append(preformatted(told));
  }

  #show({ data, transient }) {
    const place = this.#add("");
    if (transient?.display_id) this.#byId.set(transient.display_id, place);
    this.#draw(place, data);
  }

  #draw(place, data) {
    const form = FORMS.find((one) => one in data);
    if (!place || !form) return;
    place.className = `output ${form === "text/html" ? "text_html" : form === "text/plain" ? "text_plain" : ""}`;
    if (form === WIDGET) {
      const draw = () => this.widgets.draw(data[WIDGET].model_id, place);
      this.#drawn = this.#drawn.then(draw).catch((error) => {
        place.append(preformatted(text(data["text/plain"] ?? "")), element("p", { text: error.message ?? error }));
      });
      return;
    }
    place.replaceChildren(drawn(form, text(data[form])));
    if (form === "text/html" || form === "text/latex") window.MathJax?.typesetPromise?.([place]);
  }
}

/** An element for one form of a value. What the reader's own kernel says is trusted. */
function drawn(form, value) {
  if (form === "text/html" || form === "image/svg+xml") {
    const holder = element("div");
    holder.innerHTML = value;
    return holder;
  }
  if (form.startsWith("image/")) return element("img", { src: `data:${form};base64,${value.trim()}`, alt: "" });
  if (form === "text/latex") return element("div", { text: value });
  return preformatted(value);
}

function preformatted(value) {
  const pre = element("pre");
  pre.innerHTML = new AnsiUp().ansi_to_html(value);
  return element("div", { class: "highlight" }, pre);
}

/** A text in which each carriage return has set the writer back to the start of its line. */
export function overwritten(value) {
  return value
    .replace(/\r+\n/g, "\n")
    .split("\n")
    .map((line) => line.split("\r").reduce((under, over) => over + under.slice(over.length), ""))
    .join("\n");
}
