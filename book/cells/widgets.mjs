// Jupyter widgets that talk to the page's kernel. The scripts that draw them are the page's own
// (vendor), and come when a widget does.

const VENDOR = new URL("..", import.meta.url);
const PACKAGES = ["@jupyter-widgets/html-manager", "@jupyter-widgets/base"];
const OURS = "@jupyter-widgets/";
const EMBED = "@jupyter-widgets/html-manager/dist/embed-amd.js";

export class Widgets {
  #manager;

  /** @param {import("./kernel.mjs").Kernel} kernel */
  constructor(kernel) {
    kernel.addEventListener("fresh", ({ detail: connection }) => {
      this.#manager = undefined; // the widgets of the kernel before are dead
      connection.registerCommTarget("jupyter.widget", async (comm, message) => {
        const { manager, wrap } = await (this.#manager ??= makeManager(connection));
        const open = () => manager.handle_comm_open(wrap(comm), message);
        // Others have no scripts here. Most have another form that is shown, so that nobody asks.
        if (message.content.data.state?._model_module?.startsWith(OURS)) await open();
        else manager.others.set(message.content.comm_id, open);
      });
    });
  }

  /** Draw the widget of this model. */
  async draw(id, place) {
    if (!this.#manager) throw new Error("This widget belongs to a kernel that has ended.");
    const { manager } = await this.#manager;
    const view = await manager.create_view(await manager.get_model(id));
    place.replaceChildren();
    await manager.display_view(view, place);
  }
}

async function makeManager(connection) {
  if (!window.requirejs?.defined) await load("require.js");
  if (!window.requirejs.specified(PACKAGES[0])) await load(EMBED);
  const [{ HTMLManager }, { shims }] = await new Promise((done, failed) => window.requirejs(PACKAGES, (...all) => done(all), failed));
  const wrap = (comm) => new shims.services.Comm(comm);

  class Manager extends HTMLManager {
    others = new Map(); // model → what opens it

    async get_model(id) {
      const open = this.others.get(id);
      this.others.delete(id);
      await open?.();
      return super.get_model(id);
    }

    async _create_comm(target, id, data, metadata, buffers) {
      const comm = connection.createComm(target, id);
      if (data || metadata) comm.open(data, metadata, buffers);
      return wrap(comm);
    }

    async _get_comm_info() {
      const { content } = await connection.requestCommInfo({ target_name: "jupyter.widget" });
      return content.status === "ok" ? content.comms : {};
    }
  }

  // Without a loader it would be silent, and with the usual one ask a content network.
  const loader = (name) => Promise.reject(new Error(`The page has no scripts for widgets of ${name}; JupyterLab has.`));
  return { manager: new Manager({ loader }), wrap };
}

function load(name) {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = new URL(name, VENDOR).href;
    script.onload = done;
    script.onerror = () => failed(new Error(`${name} could not be loaded.`));
    document.head.append(script);
  });
}
