//! The manifests are what they should be, and would not pass if they were not.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::manifests::Manifests;
use crate::rules::{check, in_force, unrestricted};

#[test]
fn the_base_and_its_overlays_are_valid_and_restricted() {
    for folder in ["base", "overlays/one-thread", "overlays/replicas"] {
        check(&Manifests::of_kustomize(folder), folder);
    }
}

#[test]
fn an_overlay_changes_what_its_name_says() {
    let one_thread = Manifests::of_kustomize("overlays/one-thread");
    assert_eq!(in_force(&one_thread)["backend[1].max_concurrency"], "1");
    let replicas = Manifests::of_kustomize("overlays/replicas");
    let deployment = replicas.of_kind("Deployment").find(|one| one["metadata"]["name"] == "app");
    assert_eq!(deployment.unwrap()["spec"]["replicas"], 3);
    assert_eq!(in_force(&replicas)["replay.redis"], "redis://redis:6379");
    assert_eq!(replicas.of_kind("PodDisruptionBudget").count(), 1);
    let policy = &replicas.of_kind("NetworkPolicy").next().unwrap()["spec"];
    let labels = |name: &str| {
        let mut all = replicas.of_kind("Deployment");
        let deployment = all.find(|one| one["metadata"]["name"] == name).unwrap();
        deployment["spec"]["selector"]["matchLabels"].clone()
    };
    assert_eq!(policy["podSelector"]["matchLabels"], labels("redis"));
    assert_eq!(policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"], labels("app"));
}

#[test]
fn the_chart_is_valid_and_restricted_whatever_its_values() {
    for values in [
        json!({}),
        json!({"replicas": 3, "maxConcurrency": 1, "probe": "/healthz",
            "replay": {"redis": "redis://redis:6379"}, "config": "hold = { for = \"9s\" }\n[[route]]\nreplay = true\n[spool]\nmemory = \"1MiB\"\n"}),
        json!({"admin": {"tokenSecret": "secret", "port": 9100}, "drain": {"delay": 10, "timeout": 300},
            "app": {"image": "app:1", "port": 8000, "wait": [], "command": ["gunicorn"], "args": ["app:app"],
                "env": [{"name": "NAME", "value": "value"}]},
            "podLabels": {"team": "shop", "app.kubernetes.io/name": "mine"}, "podAnnotations": {"note": "1"}, "nodeSelector": {"disk": "fast"},
            "tolerations": [{"operator": "Exists"}], "affinity": {"nodeAffinity": {}},
            "imagePullSecrets": [{"name": "registry"}], "service": {"type": "NodePort", "port": 8080},
            "spool": {"totalMemory": 64, "totalDisk": 512}}),
    ] {
        let manifests =
            Manifests::of_chart(&values).unwrap_or_else(|why| panic!("{values}: {why}"));
        check(&manifests, &values.to_string());
    }
}

#[test]
fn values_that_mean_nothing_are_refused() {
    for (values, word) in [
        (json!({"replcias": 3}), "replcias"),
        (json!({"replicas": "three"}), "replicas"),
        (json!({"maxConcurrency": 0}), "maxConcurrency"),
        (json!({"app": {"image": ""}}), "image"),
        (json!({"runAsUser": 0}), "runAsUser"),
        (json!({"probe": "healthz"}), "probe"),
        (json!({"service": {"type": "ExternalName"}}), "type"),
        (json!({"config": "[drain]\ndelay = \"1s\"\n"}), "[drain]"),
        (json!({"config": "[spool]\n total_disk = \"9GiB\"\n"}), "spool.total_disk"),
        (json!({"replay": {"redis": "redis://redis:6379"}}), "replay = true"),
    ] {
        let why = Manifests::of_chart(&values).err().unwrap_or_else(|| panic!("{values} is taken"));
        assert!(why.contains(word), "{values}: {why}");
    }
}

#[test]
fn a_hook_that_sleeps_is_refused_where_kubernetes_knows_none() {
    let values = json!({"app": {"image": "app:1", "port": 5000, "wait": []}});
    assert!(Manifests::of_chart_for("1.30.0", &values).is_ok());
    let why = Manifests::of_chart_for("1.29.0", &values).err().expect("a refusal");
    assert!(why.contains("1.30"), "{why}");
    assert!(Manifests::of_chart_for("1.29.0", &json!({})).is_ok());
}

#[test]
fn the_probe_that_the_base_advises_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/kubernetes/base");
    for entry in fs::read_dir(&base).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let text = fs::read_to_string(base.join("deployment.yaml")).unwrap();
    let without = |line: &str| match line.strip_prefix("          # ") {
        Some(yaml) if yaml == "livenessProbe:" || yaml.starts_with("  ") => {
            line.replacen("# ", "", 1)
        }
        _ => line.to_owned(),
    };
    let text: Vec<_> = text.lines().map(without).collect();
    fs::write(folder.path().join("deployment.yaml"), text.join("\n")).unwrap();
    let manifests = Manifests::of_folder(folder.path());
    check(&manifests, "with its probe");
    assert_eq!(manifests.pod()["containers"][0]["livenessProbe"]["httpGet"]["path"], "/healthz");
}

#[test]
fn mistakes_are_seen() {
    let mut manifests = Manifests::of_kustomize("base");
    let deployment = manifests.0.iter_mut().find(|one| one["kind"] == "Deployment").unwrap();
    let pod = &mut deployment["spec"]["template"]["spec"];
    pod["initContainers"][0]["securityContext"]["capabilities"]["drop"] = json!([]);
    pod["containers"][0]["port"] = json!(5000);
    let pod = pod.clone();
    assert_eq!(unrestricted(&pod), ["seawall: capabilities"]);
    let mistakes = manifests.mistakes();
    assert!(
        mistakes.iter().all(|mistake| mistake.contains("'port' was unexpected")),
        "{mistakes:?}"
    );
    assert!(mistakes.len() > 5, "{mistakes:?}");
}
