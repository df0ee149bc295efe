export type Kind = "number" | "name" | "operator" | "open" | "close" | "comma" | "end";

export interface Token {
  kind: Kind;
  text: string;
  at: number;
}

export class LexError extends Error {
  constructor(
    readonly at: number,
    found: string,
  ) {
    super(`unexpected ${JSON.stringify(found)} at ${at}`);
  }
}

const RULES: ReadonlyArray<[Kind, RegExp]> = [
  ["number", /\d+(?:\.\d+)?/y],
  ["name", /[A-Za-z_]\w*/y],
  ["operator", /\*\*|[-+*\/%^]/y],
  ["open", /\(/y],
  ["close", /\)/y],
  ["comma", /,/y],
];

export function* lex(source: string): Generator<Token> {
  let at = 0;
  while (at < source.length) {
    if (/\s/.test(source[at])) {
      at += 1;
      continue;
    }
    const token = match(source, at);
    yield token;
    at += token.text.length;
  }
  yield { kind: "end", text: "", at };
}

function match(source: string, at: number): Token {
  for (const [kind, pattern] of RULES) {
    pattern.lastIndex = at;
    const found = pattern.exec(source);
    if (found) {
      return { kind, text: found[0], at };
    }
  }
  throw new LexError(at, source[at]);
}
