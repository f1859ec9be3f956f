// The time range of a page, kept in its URL.
import { localTime } from "../lib/format.ts";
import { DEFAULT_FROM, RANGES, rangeOf, type View } from "../lib/filter.ts";

export function RangePicker({ view, onChange, now }: { view: View; onChange: (view: View) => void; now: number }) {
  const fixed = view.to !== "" || !RANGES.some((range) => range.from === (view.from || DEFAULT_FROM));
  const { from, to } = rangeOf(view, now);
  return (
    <div class="segmented" role="group" aria-label="Time range">
      {RANGES.map((range) => (
        <button
          key={range.from}
          type="button"
          aria-pressed={!fixed && range.from === (view.from || DEFAULT_FROM)}
          onClick={() => onChange({ ...view, from: range.from, to: "" })}
        >
          {range.label}
        </button>
      ))}
      {fixed && (
        <button type="button" aria-pressed="true" title="Back to the last hour" onClick={() => onChange({ ...view, from: "", to: "" })}>
          {localTime(from, now)} – {view.to ? localTime(to, now) : "now"} ×
        </button>
      )}
    </div>
  );
}
