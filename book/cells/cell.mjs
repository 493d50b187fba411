// One cell of the page: its code becomes an editor once it is in view, its output that of a run.

import { button, element } from "./dom.mjs";
import { editor } from "./editor.mjs";
import { Output } from "./output.mjs";

export class Cell {
  #editor;
  #restore;

  /**
   * @param {HTMLElement} root the page's `div.cell`
   * @param {number} index its place among the cells with code
   * @param {import("./widgets.mjs").Widgets} widgets
   */
  constructor(root, index, widgets) {
    this.root = root;
    this.index = index;
    this.done = false; // whether the kernel of now has run it
    this.pre = root.querySelector(".cell_input pre");
    this.original = this.pre.textContent.replace(/\n+$/, "");
    let shown = root.querySelector(":scope > .cell_output");
    if (!shown) {
      shown = element("div", { class: "cell_output docutils container", hidden: true });
      root.append(shown);
    }
    this.output = new Output(shown, widgets);
    new IntersectionObserver((entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      this.#edit();
    }).observe(this.pre);
  }

  /** What is run. */
  get code() {
    return this.#editor ? this.#editor.state.doc.toString() : this.original;
  }

  /** Put the buttons in. @param {import("./queue.mjs").Queue} queue */
  connect(queue) {
    this.queue = queue;
    const number = this.index + 1;
    const name = (text) => ({ ariaLabel: `${text} cell ${number}` });
    this.runButton = button("Run", () => queue.run([this]), name("Run"));
    this.above = button("Run the cells above, then this", () => queue.runTo(this), { hidden: true });
    this.#restore = button("Undo my changes", () => this.#reset(), { hidden: true });
    this.note = element("span", { class: "lab-note" });
    this.note.setAttribute("role", "status");
    const row = element("div", { class: "lab-run" }, this.runButton, this.above, this.#restore, this.note);
    this.output.element.before(row);
  }

  /** Run it. @returns {Promise<boolean>} whether the next may run */
  async execute(connection) {
    const started = performance.now();
    this.#say("running …");
    this.above.hidden = true;
    this.root.classList.add("lab-running");
    this.output.begin();
    const future = connection.requestExecute({ code: this.code, allow_stdin: false, stop_on_error: true });
    future.onIOPub = (message) => this.output.take(message);
    let content;
    try {
      ({ content } = await future.done);
      await this.output.end();
    } catch {
      // The future is cancelled when the kernel ends or restarts.
      content = { status: "aborted" };
    }
    this.root.classList.remove("lab-running");
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    this.done = content.status === "ok";
    if (this.done) this.#say(`run in ${seconds} s`);
    else if (content.status === "aborted") this.#say("not finished: the kernel was restarted or has ended");
    else if (content.ename === "KeyboardInterrupt") this.#say(`stopped after ${seconds} s`);
    else {
      this.#say(`failed after ${seconds} s`);
      const missing = this.queue.cells.slice(0, this.index).some((cell) => !cell.done);
      this.above.hidden = !(content.ename === "NameError" && missing);
    }
    return this.done;
  }

  wait() {
    this.#say("waits");
  }

  /** It waits no more. */
  leave() {
    this.#say("");
  }

  /** The kernel knows nothing of it. */
  forget() {
    if (this.done) this.#say("not run in this kernel");
    this.done = false;
  }

  #say(text) {
    this.note.textContent = text;
  }

  #edit() {
    this.#editor = editor(this.original, `Code of cell ${this.index + 1}`, {
      run: () => this.queue.run([this]),
      changed: () => (this.#restore.hidden = this.code === this.original),
    });
    // The button that copied the code stands in the block that the editor replaces.
    this.pre.closest("div.cell_input > div").replaceWith(this.#editor.dom);
  }

  #reset() {
    const length = this.#editor.state.doc.length;
    this.#editor.dispatch({ changes: { from: 0, to: length, insert: this.original } });
    this.#editor.focus();
  }
}
