/** The page begins here. */
import { render } from 'preact'
import 'uplot/dist/uPlot.min.css'
import './style.css'
import { openSession } from './collector-api.ts'
import { Page } from './page.tsx'
import { applyTheme } from './theme.ts'
import { takeToken } from './view-link.ts'

applyTheme()
const place = document.getElementById('page')
const token = takeToken()
// Words for those without scripts give way to the page.
place?.replaceChildren()
if (place !== null) {
  const session = token === undefined ? Promise.resolve() : openSession(token)
  // A token that is refused shows as a session that is not there.
  void session.catch(() => undefined).then(() => render(<Page />, place))
}
