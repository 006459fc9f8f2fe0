const url = process.env['SERVICES'] ?? 'http://127.0.0.1:8026'

/** The service has answered, and does not do it. To ask again is of no use. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

/** @throws `Refused`; any other error is worth another attempt */
export async function ask(
  what: 'charges' | 'refunds' | 'shipments',
  body: object,
  idempotencyKey: string,
  signal: AbortSignal,
): Promise<{ readonly id: string }> {
  const response = await fetch(`${url}/${what}`, {
    method: 'POST',
    headers: { 'idempotency-key': idempotencyKey },
    body: JSON.stringify(body),
    signal,
  })
  if (response.status === 422) throw new Refused(await response.text())
  if (!response.ok) throw new Error(`${what} answers ${response.status}`)
  return (await response.json()) as { readonly id: string }
}
