// The filters of a view: one input, and a chip for each term.
import { useRef, useState } from "preact/hooks";
import { messageOf } from "../api.ts";
import { addTerm, FIELDS, parseTerm, removeTerm, setField, type View } from "../lib/filter.ts";
import { CloseIcon } from "./icons.tsx";

interface Props {
  view: View;
  onChange: (view: View) => void;
  suggestions?: Record<string, string[]>; // by field, what is known here
}

const VERDICTS = [
  { value: "", label: "All" },
  { value: "allow", label: "Allowed" },
  { value: "drop", label: "Denied" },
];

export function FilterBar({ view, onChange, suggestions = {} }: Props) {
  const [field, setChosen] = useState("");
  const [error, setError] = useState("");
  const input = useRef<HTMLInputElement>(null);
  const known = FIELDS.find((candidate) => candidate.name === field);
  const verdicts = view.terms.filter((term) => term.field === "verdict");
  const verdict = verdicts.length === 1 && !verdicts[0]?.negate ? verdicts[0]?.value : verdicts.length === 0 ? "" : undefined;

  const add = (event: Event): void => {
    event.preventDefault();
    const text = input.current?.value ?? "";
    if (text.trim() === "") return;
    try {
      onChange(addTerm(view, parseTerm(text, field)));
      setError("");
      if (input.current) input.current.value = "";
    } catch (reason) {
      setError(messageOf(reason));
    }
  };

  const values = known ? (known.values ?? suggestions[known.name] ?? []) : FIELDS.flatMap((candidate) =>
    (candidate.values ?? suggestions[candidate.name] ?? []).map((value) => `${candidate.label}:${value}`));
  return (
    <div class="filters">
      <div class="segmented" role="group" aria-label="Verdict">
        {VERDICTS.map((item) => (
          <button key={item.label} type="button" aria-pressed={verdict === item.value} onClick={() => onChange(setField(view, "verdict", item.value))}>
            {item.label}
          </button>
        ))}
      </div>
      <form class="filter-form" onSubmit={add} role="search">
        <select aria-label="Field" value={field} onChange={(event) => setChosen(event.currentTarget.value)}>
          <option value="">any field</option>
          {FIELDS.map((candidate) => (
            <option key={candidate.name} value={candidate.name}>
              {candidate.label}
            </option>
          ))}
        </select>
        <input
          ref={input}
          data-filter
          type="text"
          list="filter-values"
          autocomplete="off"
          spellcheck={false}
          aria-label="Filter"
          aria-invalid={error !== ""}
          aria-describedby="filter-error"
          placeholder={known ? known.hint : "filter: agent, address, port, verdict:drop … ( / )"}
          onInput={() => error && setError("")}
        />
        <datalist id="filter-values">
          {values.map((value) => (
            <option key={value} value={value} />
          ))}
        </datalist>
        <button type="submit">Add</button>
      </form>
      <Chips view={view} onChange={onChange} />
      <span id="filter-error" class="field-error" role="alert">
        {error}
      </span>
    </div>
  );
}

function Chips({ view, onChange }: { view: View; onChange: (view: View) => void }) {
  const shown = view.terms.map((term, index) => ({ term, index }));
  if (shown.length === 0) return null;
  const negate = (place: number): void =>
    onChange({ ...view, terms: view.terms.map((term, index) => (index === place ? { ...term, negate: !term.negate } : term)) });
  return (
    <ul class="chips" aria-label="Filters">
      {shown.map(({ term, index }) => {
        const label = FIELDS.find((field) => field.name === term.field)?.label ?? term.field;
        return (
          <li key={`${term.field}=${term.value}`} class={term.negate ? "chip negated" : "chip"}>
            <button type="button" class="chip-text" title="Turn into its opposite" onClick={() => negate(index)}>
              {label} {term.negate ? "≠" : "="} <b>{term.value}</b>
            </button>
            <button type="button" class="chip-close" aria-label={`Remove filter ${label} ${term.value}`} onClick={() => onChange(removeTerm(view, index))}>
              <CloseIcon />
            </button>
          </li>
        );
      })}
      <li>
        <button type="button" class="quiet" onClick={() => onChange({ ...view, terms: [] })}>
          Clear
        </button>
      </li>
    </ul>
  );
}
