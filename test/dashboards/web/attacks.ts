/** What somebody might log to take over whoever looks at it. Each would set `window.attacked`, or `polluted` of every object. */
export const attacks: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  script: { html: '<script>window.attacked = 1</script>', '<script>window.attacked = 1</script>': 'key' },
  image: { html: '<img src=x onerror="window.attacked = 1">' },
  svg: { html: '<svg onload="window.attacked = 1"><script>window.attacked = 1</script></svg>' },
  link: { html: '<a href="javascript:window.attacked = 1">here</a><iframe srcdoc="<script>parent.attacked = 1</script>">' },
  ansi: { text: '\u001b[31mred\u001b[0m \u001b]8;;https://example.invalid\u0007link\u001b]8;;\u0007 \u009b2J' },
  bidi: { text: 'user\u202e\u2066txt.exe\u2069 \u200bzero\u200b' },
  large: { text: `${'x'.repeat(60_000)}</script>` },
  prototype: { json: JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}') as unknown },
  template: { text: '{{constructor.constructor("window.attacked = 1")()}} <%= window.attacked = 1 %>' },
}
