// Answers the page's questions (PROTOCOL.md) with exported graphs, off the main thread.

import { Graphs } from "./graphs.mjs";
import { Data } from "./data.mjs";
import { Group } from "./group.mjs";

const graphs = new Graphs(new URL("./", self.location.href));
const data = new Map();
const groups = new Map();
let opened = null;
let turn = Promise.resolve();

const COMMANDS = {
  async about() {
    await graphs.describe();
    const { rules, activations, optimizers, versions, commit } = graphs.manifest;
    return { rules, activations, optimizers, versions, commit };
  },
  async start({ client, config }) {
    if (!data.has(config.data)) data.set(config.data, await Data.load(graphs, config.data));
    const group = new Group(graphs, data.get(config.data), config);
    const result = await group.start();
    groups.set(client, group);
    return result;
  },
  steps: (message) => group(message).steps(message),
  evaluate: (message) => group(message).evaluate(message),
  mix: (message) => group(message).mix(message),
  displacement: (message) => group(message).displacement(message),
};

function group({ client }) {
  if (!groups.has(client)) throw new Error("nothing has been started");
  return groups.get(client);
}

async function answer({ id, command, ...rest }) {
  try {
    // A runtime that failed to load may be there at the next try.
    opened ??= graphs.open().catch((error) => { opened = null; throw error; });
    opened.catch(() => {}); // said to who waits for it
    if (command !== "about") await opened;
    if (!Object.hasOwn(COMMANDS, command)) throw new Error(`unknown command ${command}`);
    self.postMessage({ id, result: await COMMANDS[command](rest) });
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
}

// One after the other: the runtime has one thread.
self.addEventListener("message", ({ data: message }) => { turn = turn.then(() => answer(message)); });
