"""What is known of manifests: YAML as JSON, what the schemas of Kubernetes say, what Helm makes of a chart."""

import json
import sys

import helm_python.chart
import kubernetes_validate
import yaml

# The first with native sidecars, and all that there are schemas for.
VERSIONS = [v for v in kubernetes_validate.utils.all_versions() if int(v.split(".")[1]) >= 29]


def parsed(text):
    return [document for document in yaml.safe_load_all(text) if document]


def mistakes(documents):
    """Of each document in each version, unknown fields among them."""
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                path = ".".join(str(part) for part in error.path)
                yield f"{version}: {name}: {path}: {error.message}"


def chart(folder, version, values):
    """As `helm lint --strict` and `helm template` would, for one of the versions, or the newest."""
    version = f"v{version or VERSIONS[-1]}"
    found = helm_python.chart.lint(folder, values, strict=True, kube_version=version)
    # 1 is a recommendation: the chart has no icon.
    words = [message["error"] for message in found["messages"] if message["severity"] > 1]
    if words or found["errors"]:
        return {"mistakes": words + found["errors"]}
    loaded = helm_python.chart.Chart.load(folder)
    loaded.validate_schema(values)
    # Not by `render`, which knows one version alone.
    options = {"name": "shop", "namespace": "default", "kube_version": version}
    rendered = helm_python.chart._native.call_string(
        "helm_render", loaded._raw(), json.dumps(values), json.dumps(options)
    )
    rendered = sorted(json.loads(rendered).items())
    texts = [text for name, text in rendered if name.endswith(".yaml")]
    return {"documents": [document for text in texts for document in parsed(text)]}


def main(task, *arguments):
    if task == "parse":
        return parsed(sys.stdin.read())
    if task == "mistakes":
        return {"versions": VERSIONS, "mistakes": list(mistakes(json.load(sys.stdin)))}
    try:
        return chart(*arguments, json.load(sys.stdin))
    except helm_python.errors.HelmError as error:
        return {"mistakes": [str(error)]}


json.dump(main(*sys.argv[1:]), sys.stdout)
