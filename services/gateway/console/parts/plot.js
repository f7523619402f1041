// Curves over steps, drawn by uPlot in the page's colours. It shows the values under the pointer, else the newest. It does
// not know what is measured.

import { html, UPlot, useEffect, useRef, useState } from "../vendor.js";
import { number } from "./format.js";

const height = 180;

/** A colour of the style sheet as the canvas takes it. */
function colour(element, name) {
  const probe = element.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function optionsFor(element, curves, band, level, onPoint) {
  const muted = colour(element, "--muted"), line = colour(element, "--line");
  const axis = {
    stroke: muted,
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line, width: 1, size: 4 },
    font: "11px system-ui, sans-serif",
  };
  return {
    width: Math.max(element.clientWidth, 100),
    height,
    legend: { show: false },
    cursor: { y: false, drag: { x: true, y: false } },
    scales: {
      x: { time: false, range: (_plot, low, high) => low === high ? [low - 1, high + 1] : [low, high] },
      y: level === undefined
        ? {}
        : { range: (_plot, low, high) => [Math.min(low, level) - 0.02, Math.max(high, level) + 0.02] },
    },
    axes: [
      { ...axis, size: 28, values: (_plot, steps) => steps.map((step) => Number.isInteger(step) ? String(step) : "") },
      { ...axis, size: 48, values: (_plot, values) => values.map((value) => number(value)) },
    ],
    series: [
      {},
      ...curves.map(({ name, tone, edge, faint, trend }) => ({
        label: name,
        stroke: edge ? "transparent" : colour(element, tone),
        width: edge ? 0 : faint ? 1 : 2,
        alpha: faint ? 0.3 : 1,
        spanGaps: true,
        points: edge || faint || trend ? { show: false } : { size: 5 },
      })),
    ],
    bands: band ? [{ series: band.map((index) => index + 1), fill: colour(element, "--accent-soft") }] : [],
    hooks: {
      setCursor: [(plot) => onPoint(plot.cursor.idx ?? null)],
      draw: [(plot) => {
        if (level === undefined) return;
        const y = plot.valToPos(level, "y", true);
        const { ctx, bbox } = plot;
        ctx.save();
        ctx.strokeStyle = muted;
        ctx.setLineDash([4, 4]);
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
        ctx.restore();
      }],
    },
  };
}

/**
 * @param steps the horizontal axis @param curves `{name, tone, values, edge, faint, trend}`: tone is a colour of the
 *   style sheet, an edge only bounds the band, a trend is drawn over a faint curve and not read out @param band indices of the upper and the lower curve @param level a dashed line to compare
 *   with
 */
export function Plot({ title, caption, steps, curves, band, level }) {
  const place = useRef(null), plot = useRef(null);
  const [point, setPoint] = useState(null);
  const data = [steps, ...curves.map(({ values }) => values)];
  const latest = useRef(data);
  latest.current = data;
  useEffect(() => {
    const draw = () => {
      plot.current?.destroy();
      plot.current = new UPlot(optionsFor(place.current, curves, band, level, setPoint), latest.current, place.current);
    };
    draw();
    const sized = new ResizeObserver(() =>
      plot.current.setSize({ width: Math.max(place.current.clientWidth, 100), height })
    );
    sized.observe(place.current);
    addEventListener("themechange", draw);
    return () => {
      removeEventListener("themechange", draw);
      sized.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, []);
  useEffect(() => plot.current?.setData(latest.current), [steps.length, steps.at(-1)]);
  const at = point ?? steps.length - 1;
  const shown = curves.filter(({ edge, trend }) => !edge && !trend);
  const ends = shown.map(({ name, values }) => `${name} is ${number(values.at(-1))}`).join(", ");
  return html`
    <figure class="card plot">
      <figcaption>
        <h3>${title}</h3>
        <p class=${shown.length > 1 ? "readout several" : "readout"}>
          ${shown.map(({ name, tone, values }) =>
            html`
              <span key=${name}><i style="background: var(${tone})"></i>${shown.length > 1
                ? `${name} `
                : ""}<b>${number(values[at])}</b></span>
            `
          )}
        </p>
        <p class="muted">${caption}</p>
      </figcaption>
      <div class="plot-place" ref=${place} role="img"
        aria-label="${title} over ${steps.length} points; at the end ${ends}."></div>
    </figure>
  `;
}
