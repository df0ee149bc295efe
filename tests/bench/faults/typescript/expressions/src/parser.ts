import { lex, type Kind, type Token } from "./lexer";

export type Node =
  | { type: "number"; value: number }
  | { type: "name"; name: string }
  | { type: "call"; name: string; args: Node[] }
  | { type: "unary"; operator: string; operand: Node }
  | { type: "binary"; operator: string; left: Node; right: Node };

interface Power {
  left: number;
  right: number;
}

const POWERS: Record<string, Power> = {
  "+": { left: 1, right: 2 },
  "-": { left: 1, right: 2 },
  "*": { left: 3, right: 4 },
  "/": { left: 3, right: 4 },
  "%": { left: 3, right: 4 },
  "**": { left: 8, right: 7 },
};
const UNARY = 5;

export class ParseError extends Error {}

export class Parser {
  private readonly tokens: Token[];
  private index = 0;

  constructor(source: string) {
    this.tokens = [...lex(source)];
  }

  private get next(): Token {
    return this.tokens[this.index];
  }

  private take(kind?: Kind): Token {
    const token = this.next;
    if (kind && token.kind !== kind) {
      throw new ParseError(`expected ${kind} at ${token.at}, found ${token.text || "the end"}`);
    }
    this.index += 1;
    return token;
  }

  parse(): Node {
    const node = this.expression(0);
    this.take("end");
    return node;
  }

  private expression(least: number): Node {
    let left = this.prefix();
    while (this.next.kind === "operator") {
      const power = POWERS[this.next.text];
      if (!power || power.left < least) {
        break;
      }
      const operator = this.take().text;
      left = { type: "binary", operator, left, right: this.expression(power.right) };
    }
    return left;
  }

  private prefix(): Node {
    const token = this.take();
    switch (token.kind) {
      case "number":
        return { type: "number", value: Number(token.text) };
      case "name":
        return this.next.kind === "open" ? this.call(token.text) : { type: "name", name: token.text };
      case "operator":
        return { type: "unary", operator: token.text, operand: this.expression(UNARY) };
      case "open": {
        const inner = this.expression(0);
        this.take("close");
        return inner;
      }
      default:
        throw new ParseError(`unexpected ${token.text || "end"} at ${token.at}`);
    }
  }

  private call(name: string): Node {
    const args: Node[] = [];
    this.take("open");
    while (this.next.kind !== "close") {
      args.push(this.expression(0));
      if (this.next.kind === "comma") {
        this.take();
      }
    }
    this.take("close");
    return { type: "call", name, args };
  }
}
