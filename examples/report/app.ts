import { createErrand, flow } from 'errand'
import config from './errand.config.ts'
import { auditBooks, buildReport, countSales, renderPage } from './jobs.ts'

const chapters = ['sales', 'returns', 'stock', 'staff', 'press', 'plans']

// `node app.ts 2026-11 report.md`
const [month = '2026-11', file = `report-${month}.md`] = process.argv.slice(2)
await using errand = createErrand(config)
const report = flow(
  (f) => {
    const sales = f.job(countSales, { month })
    const audit = f.job(auditBooks, { month })
    const pages = f.batch(chapters.map((chapter) => renderPage.with({ month, chapter })))
    f.job(buildReport, { month, file }, { needs: { sales, pages, audit } })
  },
  { name: `report ${month}` },
)
const { id } = await errand.dispatch(report)
console.log(`the report is flow ${id}`)
