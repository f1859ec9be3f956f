// Two charts over one time axis: what was allowed, what was denied. Each has its own scale, so that three denials show
// beside a million flows. Dragging over a span goes there.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { bytes, count, localTime } from "../lib/format.ts";
import { sum, type Columns } from "../lib/timeline.ts";

interface Props {
  columns: Columns;
  fromMs: number;
  toMs: number;
  onRange: (fromMs: number, toMs: number) => void;
}

const HEIGHT = 118;
const COMPACT: [number, string][] = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];

function compact(value: number): string {
  for (const [size, unit] of COMPACT) {
    if (value >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
  }
  return Number.isInteger(value) ? String(value) : "";
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(width: number, fill: string, range: [number, number], hover: (index: number | null) => void, select: (from: number, to: number) => void): uPlot.Options {
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const bars = uPlot.paths.bars?.({ size: [0.86, 60], align: 1 });
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { sync: { key: "timeline" }, y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
    scales: { x: { time: true, range }, y: { range: (_plot, _min, max) => [0, Math.max(4, max * 1.1)] } },
    axes: [
      { ...axis, size: 24, values: (_plot, ticks) => ticks.map((tick) => tickText(tick, range)) },
      { ...axis, size: 46, values: (_plot, ticks) => ticks.map(compact) },
    ],
    series: [{}, { fill, stroke: fill, width: 0, points: { show: false }, ...(bars ? { paths: bars } : {}) }],
    hooks: {
      setCursor: [(plot) => hover(plot.cursor.idx ?? null)],
      setSelect: [
        (plot) => {
          if (plot.select.width < 4) return;
          select(plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x"));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}

function tickText(tick: number, range: [number, number]): string {
  const date = new Date(tick * 1000);
  const clock = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  if (range[1] - range[0] <= 100_000) return clock;
  return `${date.getMonth() + 1}/${date.getDate()} ${clock}`;
}

function useChart(columns: Columns, series: number[], fill: string, fromMs: number, toMs: number, hover: (index: number | null) => void, onRange: Props["onRange"]) {
  const box = useRef<HTMLDivElement>(null);
  const select = useRef(onRange);
  select.current = onRange;
  const [theme, setTheme] = useState(0);
  useEffect(() => {
    const changed = (): void => setTheme((value) => value + 1);
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    window.addEventListener("lattice-theme", changed);
    dark.addEventListener("change", changed);
    return () => {
      window.removeEventListener("lattice-theme", changed);
      dark.removeEventListener("change", changed);
    };
  }, []);
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const plot = new uPlot(
      options(element.clientWidth, colour(fill), [fromMs / 1000, toMs / 1000], hover, (from, to) => select.current(from * 1000, to * 1000)),
      [columns.times, series],
      element,
    );
    const resize = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.destroy();
    };
  }, [columns, theme]);
  return box;
}

export function TimelineCharts({ columns, fromMs, toMs, onRange }: Props) {
  const [index, setIndex] = useState<number | null>(null);
  const allowed = useChart(columns, columns.allowed, "--chart-good", fromMs, toMs, setIndex, onRange);
  const denied = useChart(columns, columns.denied, "--chart-bad", fromMs, toMs, setIndex, onRange);
  const at = index === null ? undefined : columns.times[index];
  const value = (list: number[]): number => (index === null ? sum(list) : (list[index] ?? 0));
  return (
    <section class="panel timeline" aria-label="Timeline">
      <header class="panel-head">
        <h2>Flows over time</h2>
        <p class="figures">
          <span class="muted">{at === undefined ? "in this range" : `from ${localTime(at * 1000, toMs)}`}</span>
          <span class="figure good">{count(value(columns.allowed))} allowed</span>
          <span class="figure bad">{count(value(columns.denied))} denied</span>
          <span class="figure">{bytes(value(columns.bytes))}</span>
        </p>
      </header>
      <div class="chart-title">Allowed</div>
      <div class="chart" ref={allowed} role="img" aria-label={`${count(sum(columns.allowed))} flows were allowed in this range`} />
      <div class="chart-title">Denied</div>
      <div class="chart" ref={denied} role="img" aria-label={`${count(sum(columns.denied))} attempts were denied in this range`} />
    </section>
  );
}
