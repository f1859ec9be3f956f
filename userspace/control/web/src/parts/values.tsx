// Single values of the tables.
import { useState } from "preact/hooks";
import { copyText } from "../hooks.ts";
import { ago, localTime, parseTime, utcTime } from "../lib/format.ts";
import type { FlowEvent } from "../lib/types.ts";

// Local time; the exact UTC time on hover.
export function Time({ value, now, millis }: { value: string | undefined; now: number; millis?: boolean }) {
  const ms = parseTime(value);
  if (ms === undefined || !value) return <span class="muted">–</span>;
  return (
    <time dateTime={value} title={utcTime(value)}>
      {localTime(ms, now, millis)}
    </time>
  );
}

export function Ago({ value, now }: { value: string | undefined; now: number }) {
  const ms = parseTime(value);
  if (ms === undefined || !value) return <span class="muted">never</span>;
  return (
    <time dateTime={value} title={`${localTime(ms, 0)} local, ${utcTime(value)}`}>
      {ago(ms, now)}
    </time>
  );
}

export function Verdict({ event }: { event: FlowEvent }) {
  if (event.event === "loss") return <span class="tag warn">lost</span>;
  if (event.event === "policy") return <span class="tag">policy</span>;
  if (event.verdict === "drop") {
    // In audit mode the packets passed.
    return event.mode === "audit" ? (
      <span class="tag warn" title="Audit mode: recorded, not dropped">
        would deny
      </span>
    ) : (
      <span class="tag bad">denied</span>
    );
  }
  if (event.verdict === "allow") return <span class="tag good">allowed</span>;
  return <span class="muted">–</span>;
}

export function CopyButton({ text, what }: { text: string; what: string }) {
  const [done, setDone] = useState("");
  const copy = (event: MouseEvent): void => {
    event.stopPropagation();
    void copyText(text).then((ok) => {
      setDone(ok ? "copied" : "failed");
      setTimeout(() => setDone(""), 1500);
    });
  };
  return (
    <button type="button" class="quiet copy" aria-label={`Copy ${what}`} aria-live="polite" onClick={copy}>
      {done || "copy"}
    </button>
  );
}
