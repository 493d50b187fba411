// The page's kernel: one session of the server per page, started when something is first run.

import { KernelConnection } from "@jupyterlab/services/lib/kernel/default";
import { ServerConnection } from "@jupyterlab/services/lib/serverconnection";
import { startSession } from "@jupyterlab/services/lib/session/restapi";

/** Tells of `status` (its text is in `status`) and of `fresh`: a kernel that knows nothing yet. */
export class Kernel extends EventTarget {
  #connection;
  #blank = false; // whether it has been restarted and nothing was run since
  status = "no kernel yet";

  /** @param {{base: string, notebook: string, kernel: string}} settings what the server wrote */
  constructor({ base, notebook, kernel }) {
    super();
    const baseUrl = new URL(base, location.href).href;
    // The login's cookie and the one against forgery are all the proof that is needed.
    this.settings = ServerConnection.makeSettings({ baseUrl, token: "", appendToken: false });
    this.session = { path: notebook, name: notebook, type: "notebook", kernel: { name: kernel } };
  }

  /** The kernel to talk to; another one if the last has ended meanwhile. */
  async connect() {
    this.#blank = false;
    if (!this.#connection) this.#say("starting a kernel …");
    const { kernel } = await startSession(this.session, this.settings);
    const known = this.#connection;
    if (known && known.model.id === kernel.id && !known.isDisposed && known.status !== "dead") {
      return known;
    }
    known?.dispose();
    const connection = new KernelConnection({ model: kernel, serverSettings: this.settings });
    this.#connection = connection;
    connection.statusChanged.connect((_, status) => this.#say((this.#blank && BLANK[status]) || TOLD[status] || status));
    connection.connectionStatusChanged.connect((_, status) => {
      if (status === "disconnected") this.#say("the kernel has ended; the next run starts another");
    });
    this.#fresh();
    await connection.info;
    return connection;
  }

  /** Forget everything. */
  async restart() {
    this.#say("restarting …");
    const connection = await this.connect();
    await connection.restart();
    this.#fresh();
    await connection.requestKernelInfo();
    // The kernel still has to tell that it is idle again after that request.
    this.#blank = true;
    this.#say(BLANK.idle);
  }

  /** Stop what is running. */
  interrupt() {
    return this.#connection?.interrupt();
  }

  #fresh() {
    this.dispatchEvent(new CustomEvent("fresh", { detail: this.#connection }));
  }

  #say(status) {
    this.status = status;
    this.dispatchEvent(new Event("status"));
  }
}

const BLANK = { idle: "restarted: it knows nothing yet" };
const TOLD = {
  idle: "ready",
  busy: "running …",
  unknown: "starting a kernel …",
  starting: "starting a kernel …",
  restarting: "restarting …",
  autorestarting: "the kernel has crashed; it restarts",
  dead: "the kernel has ended; the next run starts another",
};
