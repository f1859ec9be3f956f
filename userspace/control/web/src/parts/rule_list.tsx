// A policy's rules with what a change does to them.
import { ruleChanges } from "../lib/rule.ts";

const MARKS = { kept: " ", added: "+", removed: "−" };

export function RuleList({ before, after }: { before: string[]; after: string[] }) {
  const changes = ruleChanges(before, after);
  if (changes.length === 0) return <p class="muted">No rules: everything is denied.</p>;
  return (
    <ol class="rules" aria-label="Resulting policy">
      {changes.map(({ rule, change }) => (
        <li key={change + rule} class={change}>
          <span class="rule-mark" aria-hidden="true">
            {MARKS[change]}
          </span>
          <code>{rule}</code>
          {change !== "kept" && <span class="rule-change">{change}</span>}
        </li>
      ))}
    </ol>
  );
}
