import { setTimeout as sleep } from 'node:timers/promises'

const takesMs = Number(process.env['TOOL_MS'] ?? 500)
const degrees: Readonly<Record<string, number>> = { Oslo: 4, Cairo: 31 }

/** Each stands for something that is slow, or costs money. */
export const tools = {
  async weather(city: string): Promise<string> {
    await sleep(takesMs)
    return String(degrees[city] ?? 'unknown')
  },
  async subtract(sum: string): Promise<string> {
    const [a, b] = sum.split('-').map(Number)
    return String(Number(a) - Number(b))
  },
}
