import { testProject } from '../../../integration-tests/services/project.ts'

export default testProject({ name: 'job-log', folder: import.meta.dirname, servers: true })
