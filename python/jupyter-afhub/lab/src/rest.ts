// One question to the server extension.
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

const API = 'api/afhub/v1';

export interface Answer {
  status: number;
  /** Empty where the answer is no JSON object. */
  content: Record<string, unknown>;
}

/** Reads, or with a body posts. Throws where nothing answers. */
export async function ask(settings: ServerConnection.ISettings, path: string, body?: unknown): Promise<Answer> {
  const request = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  const answer = await ServerConnection.makeRequest(URLExt.join(settings.baseUrl, API, path), request, settings);
  let content: unknown = null;
  try {
    content = await answer.json();
  } catch {
    // A page of a proxy, say.
  }
  const isObject = typeof content === 'object' && content !== null && !Array.isArray(content);
  return { status: answer.status, content: isObject ? (content as Record<string, unknown>) : {} };
}
