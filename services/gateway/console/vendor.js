// The two libraries of the console, from where the gateway serves them. Nothing else knows their addresses.

export {
  Component,
  html,
  render,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  // @ts-ignore: the gateway serves it out of node_modules; it is no file here
} from "/console/vendor/htm.js";
// @ts-ignore: the same
export { default as UPlot } from "/console/vendor/uplot.js";
