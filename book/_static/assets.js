/* Loaded before every other script: what comes after it stays on this site. */

// The theme's Font Awesome replaces <i> nodes, also those that a widget holds on to,
// which kills it. Nested, the nodes stay.
window.FontAwesomeConfig = { autoReplaceSvg: "nest" };

// Where require.js finds the widgets' files, whatever the depth of the page or the host's prefix.
window.requirejs = { baseUrl: new URL("vendor/", document.currentScript.src).href };

// The widgets still speak to MathJax 2, and throw on MathJax 3 which has no Hub.
{
  let mathjax;
  Object.defineProperty(window, "MathJax", {
    configurable: true,
    get: () => mathjax,
    set: (value) => {
      mathjax = value;
      if (mathjax && !mathjax.Hub) mathjax.Hub = { Queue() {} };
    },
  });
}
