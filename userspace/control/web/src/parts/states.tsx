// Empty, loading and failed: each says what to do.
import type { ComponentChildren } from "preact";
import type { Judgement } from "../lib/completeness.ts";

export function Failed({ error, retry }: { error: string; retry: () => void }) {
  return (
    <div class="notice bad" role="alert">
      <strong>Could not load.</strong> <span>{error}</span>
      <button type="button" onClick={retry}>
        Try again
      </button>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children && <div class="muted">{children}</div>}
    </div>
  );
}

export function Loading() {
  return (
    <div class="empty" role="status">
      <span class="muted">Loading…</span>
    </div>
  );
}

const LEVELS: Record<Judgement["level"], string> = { good: "Complete", warn: "Attention", bad: "Incomplete", none: "No data" };

export function Banner({ judgement, link }: { judgement: Judgement; link?: ComponentChildren }) {
  return (
    <div class={`banner ${judgement.level}`} role="status">
      <span class="banner-mark">{LEVELS[judgement.level]}</span>
      <p>
        <strong>{judgement.sentence}</strong> <span class="muted">{judgement.remedy}</span>
      </p>
      {link}
    </div>
  );
}
