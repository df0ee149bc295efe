import { toNumber } from "./days.js";
import { parseDate } from "./parse.js";
import { Rule } from "./recurrence.js";

export class Agenda {
  constructor() {
    this.entries = new Map();
  }

  add(title, start, rule = null) {
    const dates = rule ? rule.take(start, 50) : [start];
    for (const date of dates) {
      const list = this.entries.get(date) ?? [];
      list.push(title);
      this.entries.set(date, list);
    }
    return dates.length;
  }

  on(date) {
    return [...(this.entries.get(date) ?? [])].sort();
  }

  between(first, last) {
    const [low, high] = [first, last].map((text) => toNumber(parseDate(text)));
    return [...this.entries.keys()]
      .filter((text) => toNumber(parseDate(text)) >= low && toNumber(parseDate(text)) <= high)
      .sort();
  }

  free(first, last) {
    const busy = new Set(this.between(first, last));
    return new Rule("daily", { until: last }).take(first, 366).filter((date) => !busy.has(date));
  }
}
