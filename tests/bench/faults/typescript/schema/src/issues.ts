export type PathPart = string | number;

export interface Issue {
  path: PathPart[];
  code: 'type' | 'range' | 'missing' | 'unknown' | 'choice' | 'custom';
  message: string;
}

export type Result<T> = { ok: true; value: T } | { ok: false; issues: Issue[] };

export function pass<T>(value: T): Result<T> {
  return { ok: true, value };
}

export function fail(code: Issue['code'], message: string, path: PathPart[] = []): Result<never> {
  return { ok: false, issues: [{ path, code, message }] };
}

export function under(part: PathPart, issues: Issue[]): Issue[] {
  return issues.map((issue) => ({ ...issue, path: [part, ...issue.path] }));
}

export function renderPath(path: PathPart[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text ? `${text}.${part}` : part;
  }, '');
}

export class SchemaError extends Error {
  constructor(readonly issues: Issue[]) {
    super(SchemaError.describe(issues));
    this.name = 'SchemaError';
  }

  static describe(issues: Issue[]): string {
    const shown = issues.slice(0, 3).map((issue) => {
      const where = renderPath(issue.path);
      return where ? `${where}: ${issue.message}` : issue.message;
    });
    const more = issues.length - shown.length;
    return shown.join('; ') + (more > 0 ? ` (and ${more} more)` : '');
  }
}
