import { z } from 'zod'

const url = process.env['MODEL_API'] ?? 'http://127.0.0.1:8027'

export const message = z.object({
  role: z.enum(['user', 'assistant', 'tool']),
  text: z.string(),
  /** The tool that the model wants to be used. */
  call: z.object({ tool: z.enum(['weather', 'subtract']), input: z.string() }).optional(),
})
export type Message = z.infer<typeof message>

export async function askModel(messages: readonly Message[], signal: AbortSignal): Promise<Message> {
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(messages), signal })
  if (!response.ok) throw new Error(`the model answers ${response.status}`)
  return message.parse(await response.json())
}
