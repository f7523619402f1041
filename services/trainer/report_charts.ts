// Which curves a run's report shows, and the small script that draws them in the reader's browser with uPlot.
// It knows metrics and evaluations; it does not know HTML (report.ts) nor colours (report_style.ts).

import type uPlot from "uplot";
import type { AucEstimate } from "./auc.ts";
import type { StepMetrics } from "./metrics.ts";

/** What was measured on held-out rows after `step` optimizer steps (0 = before training). */
export interface Evaluation {
  step: number;
  auc?: AucEstimate | undefined;
  /** Mean held-out reward of desirable rows minus that of undesirable rows. */
  margin?: number | undefined;
}

/** How a curve looks: what is measured, the same seen through a moving mean, or a line to compare with. */
type Look = "plain" | "faint" | "bold" | "dashed" | "edge";

/** One curve. `colour` is the number of a colour of the palette. */
export interface Curve {
  label: string;
  colour: 1 | 2 | 3;
  look: Look;
  values: (number | null)[];
}

/** One figure: curves over optimizer steps. */
export interface Chart {
  title: string;
  caption: string;
  steps: number[];
  curves: Curve[];
  /** Indices into `curves` between which the area is filled: upper, lower. */
  band?: [number, number];
}

/** A longer run is drawn with a mean of several steps for each point; no screen has more columns anyway. */
const MOST_POINTS = 1500;
/** From this many points on a noisy curve also gets its moving mean. */
const SMOOTHED_FROM = 40;

/** The figures for which there is something to draw, in reading order. */
export function chartsOf(metrics: StepMetrics[], evaluations: Evaluation[]): Chart[] {
  const thinned = thin(metrics);
  const steps = thinned.map((point) => point.step);
  const of = (key: keyof StepMetrics) => thinned.map((point) => point[key]);
  const charts: Chart[] = [
    {
      title: "Loss",
      caption: "Mean of the weighted row losses. Half the mean weight at the start; lower is better.",
      steps,
      curves: withMovingMean("loss", 1, of("loss")),
    },
    {
      title: "Rewards",
      caption: "β × how much likelier an answer has become than under the reference.",
      steps,
      curves: [
        ...withMovingMean("desirable", 1, of("rewards/chosen")),
        ...withMovingMean("undesirable", 2, of("rewards/rejected")),
      ],
    },
    marginChart(thinned, evaluations),
    aucChart(evaluations),
    {
      // TRL's name is kl. The KL to the base that the gate judges is measured on the model's own answers.
      title: "Reference point z0",
      caption: "KTO's estimate of the drift, from mismatched pairs and never below 0: what rewards are compared with.",
      steps,
      curves: withMovingMean("z0", 1, of("kl")),
    },
    {
      title: "Gradient norm",
      caption: "Of all trained weights together, before clipping.",
      steps,
      curves: withMovingMean("grad_norm", 1, of("grad_norm")),
    },
    {
      title: "Learning rate",
      caption: "What the schedule gave each step.",
      steps,
      curves: [{ label: "learning_rate", colour: 1, look: "plain", values: of("learning_rate") }],
    },
    {
      title: "Speed",
      caption: "Trained tokens a second, prompts included.",
      steps,
      curves: withMovingMean("tokens_per_second", 1, of("tokens_per_second")),
    },
  ];
  return charts
    .map((chart) => ({
      ...chart,
      curves: chart.curves.map((curve) => ({ ...curve, values: curve.values.map(forJson) })),
    }))
    .filter((chart) => chart.curves.some(hasValues));
}

/** A chart in a sentence, for readers who cannot see it: where each curve begins, ends, and how far it goes. */
export function describeChart(chart: Chart): string {
  const parts = chart.curves.filter((curve) => curve.look !== "faint" && hasValues(curve)).map((curve) => {
    const points = curve.values.flatMap((value, i) => value === null ? [] : [{ value, step: chart.steps[i]! }]);
    const values = points.map((point) => point.value);
    const [first, last] = [points[0]!, points.at(-1)!];
    return `${curve.label} from ${first.value} at step ${first.step} to ${last.value} at step ${last.step}, ` +
      `lowest ${Math.min(...values)}, highest ${Math.max(...values)}`;
  });
  return `${chart.title}: ${parts.join("; ")}.`;
}

function marginChart(metrics: StepMetrics[], evaluations: Evaluation[]): Chart {
  const held = new Map(evaluations.flatMap(({ step, margin }) => margin === undefined ? [] : [[step, margin]]));
  const trained = new Map(metrics.map((point) => [point.step, point["rewards/margins"]]));
  const steps = [...new Set([...trained.keys(), ...held.keys()])].sort((a, b) => a - b);
  const curves = withMovingMean("training", 1, steps.map((step) => trained.get(step) ?? null));
  if (held.size > 0) {
    curves.push({ label: "held out", colour: 3, look: "plain", values: steps.map((step) => held.get(step) ?? null) });
  }
  return {
    title: "Reward margin",
    caption: "Reward of desirable rows minus reward of undesirable rows; above 0 the model tells them apart.",
    steps,
    curves,
  };
}

function aucChart(evaluations: Evaluation[]): Chart {
  const measured = evaluations.filter((evaluation) => evaluation.auc !== undefined);
  const of = (key: keyof AucEstimate) => measured.map(({ auc }) => auc![key]);
  return {
    title: "Held-out AUC",
    caption: "How often an unseen desirable row gets more reward than an undesirable one, with its interval.",
    steps: measured.map(({ step }) => step),
    curves: measured.length === 0 ? [] : [
      { label: "AUC", colour: 3, look: "plain", values: of("value") },
      { label: "high", colour: 3, look: "edge", values: of("high") },
      { label: "low", colour: 3, look: "edge", values: of("low") },
      { label: "chance", colour: 2, look: "dashed", values: measured.map(() => 0.5) },
    ],
    band: [1, 2],
  };
}

function withMovingMean(label: string, colour: Curve["colour"], values: (number | null)[]): Curve[] {
  if (values.length < SMOOTHED_FROM) return [{ label, colour, look: "plain", values }];
  const window = Math.max(5, Math.round(values.length / 25));
  const means = values.map((_, end) => mean(values.slice(Math.max(0, end + 1 - window), end + 1)));
  return [
    { label: `${label}, each step`, colour, look: "faint", values },
    { label: `${label}, mean of ${window} steps`, colour, look: "bold", values: means },
  ];
}

/** Means of equally long stretches, named by their last step. */
function thin(metrics: StepMetrics[]): StepMetrics[] {
  const stride = Math.ceil(metrics.length / MOST_POINTS);
  if (stride <= 1) return metrics;
  const thinned: StepMetrics[] = [];
  for (let start = 0; start < metrics.length; start += stride) {
    const stretch = metrics.slice(start, start + stride);
    const last = stretch.at(-1)!;
    const over = (key: keyof StepMetrics) => mean(stretch.map((point) => point[key]));
    thinned.push({
      ...last,
      loss: over("loss") ?? NaN,
      kl: over("kl") ?? NaN,
      grad_norm: over("grad_norm") ?? NaN,
      "rewards/chosen": over("rewards/chosen"),
      "rewards/rejected": over("rewards/rejected"),
      "rewards/margins": over("rewards/margins"),
      tokens_per_second: over("tokens_per_second") ?? NaN,
    });
  }
  return thinned;
}

function mean(values: (number | null)[]): number | null {
  const present = values.filter((value) => value !== null && Number.isFinite(value)) as number[];
  return present.length === 0 ? null : present.reduce((sum, value) => sum + value, 0) / present.length;
}

function forJson(value: number | null): number | null {
  return value === null || !Number.isFinite(value) ? null : Number(value.toPrecision(5));
}

function hasValues(curve: Curve): boolean {
  return curve.values.some((value) => value !== null);
}

/**
 * Runs in the browser: its source text is put into the page, so it may use nothing from this module but types.
 * Draws each chart into the element `chart-<index>`, again whenever the width or the colour scheme changes.
 */
export function drawCharts(): void {
  const Plot = (globalThis as unknown as { uPlot: typeof uPlot }).uPlot;
  const data = document.getElementById("chart-data")?.textContent ?? "[]";
  const charts = JSON.parse(data) as Chart[];
  const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const format = (value: number | null) => value === null ? "–" : String(Number(value.toPrecision(4)));

  function draw(chart: Chart, element: HTMLElement): uPlot {
    const axis: uPlot.Axis = {
      stroke: colour("--muted"),
      font: "12px system-ui, sans-serif",
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1, size: 4 },
    };
    const last = chart.steps.length - 1;
    const series = chart.curves.map((curve): uPlot.Series => {
      const stroke = colour(`--series-${curve.colour}`);
      return {
        label: curve.label,
        stroke: curve.look === "edge" ? "transparent" : curve.look === "dashed" ? colour("--muted") : stroke,
        width: curve.look === "faint" ? 1 : curve.look === "dashed" ? 1 : 2,
        alpha: curve.look === "faint" ? 0.35 : 1,
        spanGaps: true,
        points: {
          show: curve.look === "plain" && curve.values.filter((value) => value !== null).length <= 30,
          size: 6,
          fill: stroke,
        },
        value: (_plot, value) => format(value),
        ...(curve.look === "dashed" ? { dash: [4, 4] } : {}),
      };
    });
    const markerColours = ["transparent", ...series.map((curve) => String(curve.stroke))];
    const plot = new Plot(
      {
        width: element.clientWidth,
        height: 200,
        scales: { x: { time: false } },
        axes: [{ ...axis, size: 30, gap: 4 }, {
          ...axis,
          size: 56,
          values: (_plot, splits) => splits.map((value) => value === null ? "" : format(value)),
        }],
        series: [{ label: "step", value: (_plot, value) => value === null ? "–" : String(value) }, ...series],
        legend: { markers: { fill: (_plot, index) => markerColours[index] ?? "transparent" } },
        cursor: { sync: { key: "steps" }, drag: { x: true, y: false } },
        ...(chart.band === undefined ? {} : {
          bands: [{ series: [chart.band[0] + 1, chart.band[1] + 1], fill: colour("--series-3") + "33" }],
        }),
        hooks: {
          // Without a pointer on the figure the legend shows the end of the run in place of dashes.
          setCursor: [(self: uPlot) => {
            if (self.cursor.idx === null || self.cursor.idx === undefined) self.setLegend({ idx: last }, false);
          }],
        },
      },
      [chart.steps, ...chart.curves.map((curve) => curve.values)],
      element,
    );
    plot.setLegend({ idx: last }, false);
    // The single steps are in the picture as the ground of their mean; the legend would only get crowded.
    const rows = plot.root.querySelectorAll<HTMLElement>(".u-legend .u-series");
    chart.curves.forEach((curve, index) => {
      if (curve.look === "faint") rows[index + 1]?.style.setProperty("display", "none");
    });
    return plot;
  }

  let plots: uPlot[] = [];
  function drawAll(): void {
    for (const plot of plots) plot.destroy();
    plots = charts.flatMap((chart, index) => {
      const element = document.getElementById(`chart-${index}`);
      return element === null ? [] : [draw(chart, element)];
    });
  }
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let width = innerWidth;
  addEventListener("resize", () => {
    // Phones report a resize whenever the address bar hides; only a new width is a reason to draw.
    if (innerWidth !== width) drawAll();
    width = innerWidth;
  });
}
