// The bar above a chapter: run it, stop, restart the kernel, and how things stand.

import { button, element } from "./dom.mjs";

export class Bar {
  /**
   * @param {import("./kernel.mjs").Kernel} kernel
   * @param {import("./queue.mjs").Queue} queue
   */
  constructor(kernel, queue) {
    const status = element("span", { class: "lab-status", text: kernel.status });
    status.setAttribute("role", "status");
    const run = button("Run this page", () => queue.runAll());
    const stop = button("Stop", () => queue.stop(), { disabled: true });
    const restart = button("Restart kernel", async () => {
      restart.disabled = true;
      try {
        await queue.restart();
      } catch (error) {
        status.textContent = told(error);
      }
      restart.disabled = false;
    });
    // Between the messages of widgets a kernel calls itself idle while a cell still runs.
    const tell = () => (status.textContent = queue.busy && kernel.status === "ready" ? "running …" : kernel.status);
    kernel.addEventListener("status", tell);
    queue.addEventListener("failed", ({ detail }) => (status.textContent = told(detail)));
    queue.addEventListener("change", () => {
      run.disabled = queue.busy;
      stop.disabled = !queue.busy;
      if (kernel.status === "ready") tell();
    });
    const says = element("span", { class: "lab-says", text: "Code can be edited and run here; Shift+Enter runs a cell." });
    this.element = element("div", { class: "lab-bar" }, run, stop, restart, status, says);
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", "Run the code of this page");
  }
}

const told = (error) => `The kernel cannot be reached: ${error?.message ?? error}. Is the server still running?`;
