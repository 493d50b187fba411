// The page's entry, a few hundred bytes: what a live section needs is loaded once one is in view.

import { read } from "./address.mjs";

/* global BUILD */

const hostsIn = (place) => [...place.querySelectorAll(".initlab-live[data-live]")];
const file = (name) => {
  const address = new URL(name, import.meta.url);
  address.searchParams.set("v", BUILD);
  return address;
};

async function bring(host) {
  const said = note(host);
  said.textContent = "Loading the live version …";
  try {
    const { bring: mount } = await import(file("widget.js").href);
    await mount(host, file("worker.js"));
    said.remove();
  } catch (error) {
    failed(said, error);
  }
  host.addEventListener("livefailed", ({ detail }) => failed(note(host), new Error(detail)));
  host.addEventListener("liveback", () => note(host).remove());
}

/** A line below the figure that stands in for the live version. */
function note(host) {
  const line = host.querySelector(":scope > .initlab-live-note") ?? host.appendChild(document.createElement("p"));
  line.className = "initlab-live-note";
  line.setAttribute("role", "status");
  return line;
}

function failed(said, error) {
  said.textContent = `The live version could not be shown here: ${error?.message ?? error}. The figure is one that was drawn beforehand.`;
}

const observer = new IntersectionObserver((all) => {
  for (const { target, isIntersecting } of all) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    bring(target);
  }
});
const hosts = hostsIn(document);
hosts.forEach((host) => observer.observe(host));
// What a reader's own kernel has put into the page.
document.addEventListener("initlab:shown", ({ target }) => hostsIn(target).forEach((host) => observer.observe(host)));

// An address with a configuration leads to its section.
const asked = read(location.hash);
const target = asked && hosts.find((host) => JSON.parse(host.dataset.live).section === asked.section);
if (target) target.scrollIntoView({ block: "start" });
