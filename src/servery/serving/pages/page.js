"use strict";
{
  const TIMEOUT_MS = 120000, SHOWN_MAX = 200000;
  const TOLD = [["X-Model-Version", "version"], ["Server-Timing", "server"], ["X-Servery-Coerced", "coerced"]];
  const find = (id) => document.getElementById(id);
  const form = find("try"), body = find("body"), send = find("send");
  const outcome = find("outcome"), answer = find("answer");
  const url = location.origin + form.dataset.path;

  const showCommands = () => {
    const text = body.value;
    const quoted = text.replaceAll("'", "'\\''");
    const literal = text.includes("'''") || text.endsWith("\\") ? JSON.stringify(text) : `r'''${text}'''`;
    find("curl").textContent =
      `curl ${url} -H 'Content-Type: application/json' --data-binary '${quoted}'`;
    find("python").textContent =
      `import json\nimport urllib.request\n\nbody = ${literal}\n` +
      `request = urllib.request.Request("${url}", body.encode(), {"Content-Type": "application/json"})\n` +
      `with urllib.request.urlopen(request) as answer:\n    print(json.load(answer))`;
  };

  const tell = (text, isBad) => {
    outcome.textContent = text;
    outcome.className = isBad ? "bad" : "";
  };

  const ask = async () => {
    send.disabled = true;
    answer.hidden = true;
    tell("Waiting for the answer …", false);
    const started = performance.now();
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: body.value,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const text = await response.text();
      const parts = [`${response.status} ${response.statusText}`, `${(performance.now() - started).toFixed(1)} ms`];
      for (const [name, label] of TOLD) {
        if (response.headers.has(name)) parts.push(`${label} ${response.headers.get(name)}`);
      }
      tell(parts.join(" · "), !response.ok);
      const more = text.length - SHOWN_MAX;
      // As it came: numbers beyond 2^53 would not survive being parsed.
      answer.textContent = more > 0 ? `${text.slice(0, SHOWN_MAX)}… and ${more} characters more` : text;
      answer.hidden = false;
    } catch (error) {
      tell(`No answer: ${error.message}`, true);
    } finally {
      send.disabled = false;
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  body.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  body.addEventListener("input", showCommands);
  showCommands();
}
