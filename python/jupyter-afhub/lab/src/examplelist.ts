// What the server says of the site's example notebooks.

export interface Example {
  file: string;
  title: string;
  text: string;
}

/** The examples that have what a card needs; the rest is left out. */
export function readExamples(content: Record<string, unknown>): Example[] {
  const rows: unknown = content['examples'];
  if (!Array.isArray(rows)) {
    return [];
  }
  return rows.flatMap((row: unknown) => {
    if (typeof row !== 'object' || row === null) {
      return [];
    }
    const { file, title, text } = row as Record<string, unknown>;
    return typeof file === 'string' && typeof title === 'string' ? [{ file, title, text: typeof text === 'string' ? text : '' }] : [];
  });
}
