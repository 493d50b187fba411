// Cells run one after the other; an error stops those that wait behind it, as in a notebook.

/** Tells of `change` when it starts and when it has nothing left to do. */
export class Queue extends EventTarget {
  #waiting = [];
  #running = false;

  constructor(kernel, cells) {
    super();
    this.kernel = kernel;
    this.cells = cells;
    kernel.addEventListener("fresh", () => cells.forEach((cell) => cell.forget()));
  }

  get busy() {
    return this.#running;
  }

  /** Run these after those that wait; a cell waits only once. */
  async run(cells) {
    for (const cell of cells) {
      if (this.#waiting.includes(cell)) continue;
      this.#waiting.push(cell);
      cell.wait();
    }
    if (this.#running) return;
    this.#running = true;
    this.dispatchEvent(new Event("change"));
    try {
      while (this.#waiting.length) {
        const connection = await this.kernel.connect();
        const cell = this.#waiting.shift();
        if (cell && !(await cell.execute(connection))) this.clear();
      }
    } catch (error) {
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
      this.clear();
    } finally {
      this.#running = false;
      this.dispatchEvent(new Event("change"));
    }
  }

  /** Run the whole page. */
  runAll() {
    return this.run(this.cells);
  }

  /** Run a cell, and before it those above that this kernel has not run. */
  runTo(cell) {
    const above = this.cells.slice(0, cell.index).filter((one) => !one.done);
    return this.run([...above, cell]);
  }

  /** Let nothing wait any more. */
  clear() {
    for (const cell of this.#waiting.splice(0)) cell.leave();
  }

  /** Stop what runs, and what waits behind it. */
  stop() {
    this.clear();
    return this.kernel.interrupt();
  }

  async restart() {
    this.clear();
    await this.kernel.restart();
  }
}
