import { expect, it } from 'vitest'
import { News } from '../src/news.ts'

function newsAt() {
  let nowMs = 0
  const news = new News({ monotonicMs: () => nowMs })
  return { news, wait: (ms: number) => (nowMs += ms) }
}

it('a fact is news once, for all who meet it; another fact is news too', () => {
  const { news } = newsAt()
  const heard = ['wrong password', 'wrong password', 'no such vhost', 'wrong password']
  expect(heard.map((fact) => news.isNew(fact))).toEqual([true, false, true, false])
})

it('what lasts is said again after five minutes', () => {
  const { news, wait } = newsAt()
  expect(news.isNew('wrong password')).toBe(true)
  for (let minute = 1; minute < 5; minute += 1) {
    wait(60_000)
    expect(news.isNew('wrong password')).toBe(false)
  }
  wait(60_000)
  expect(news.isNew('wrong password')).toBe(true)
})

it('what was over and is back is news, at most every ten seconds', () => {
  const { news, wait } = newsAt()
  expect(news.isNew('lost')).toBe(true)
  news.over()
  wait(9_000)
  expect(news.isNew('lost')).toBe(false)
  news.over()
  wait(1_000)
  expect(news.isNew('lost')).toBe(true)
})

it('a stream of facts that are all different does not fill the memory', () => {
  const { news } = newsAt()
  for (let fact = 0; fact < 1_000; fact += 1) expect(news.isNew(`fact ${fact}`)).toBe(true)
  // The first one is forgotten, so it is news again.
  expect(news.isNew('fact 0')).toBe(true)
  expect(news.isNew('fact 999')).toBe(false)
})
