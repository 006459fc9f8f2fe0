import { testProject } from '../../../integration-tests/services/project.ts'

export default testProject({
  name: 'log-postgres',
  folder: import.meta.dirname,
  servers: true,
  together: true,
})
