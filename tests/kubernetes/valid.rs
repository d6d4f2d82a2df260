//! What must hold of every manifest, however it is made.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::manifests::Manifests;

const SEAWALL: &str = env!("CARGO_BIN_EXE_seawall");

#[test]
fn the_base_and_its_overlays_are_valid_and_restricted() {
    for folder in ["base", "overlays/one-thread", "overlays/replicas"] {
        let Some(manifests) = Manifests::of_kustomize(folder) else { return };
        check(&manifests, folder);
    }
}

#[test]
fn an_overlay_changes_what_its_name_says() {
    let Some(one_thread) = Manifests::of_kustomize("overlays/one-thread") else { return };
    let seawall = &one_thread.pod()["initContainers"][0];
    let variable = json!({"name": "SEAWALL_BACKEND__MAX_CONCURRENCY", "value": "1"});
    assert_eq!(seawall["env"], json!([variable]));
    let Some(replicas) = Manifests::of_kustomize("overlays/replicas") else { return };
    let deployment = replicas.of_kind("Deployment").find(|one| one["metadata"]["name"] == "app");
    assert_eq!(deployment.unwrap()["spec"]["replicas"], 3);
    assert!(replicas.config().contains("redis = \"redis://redis:6379\""));
    assert_eq!(replicas.of_kind("PodDisruptionBudget").count(), 1);
}

#[test]
fn the_chart_is_valid_and_restricted_whatever_its_values() {
    for values in [
        json!({}),
        json!({"replicas": 3, "maxConcurrency": 1, "probe": "/healthz",
            "replay": {"redis": "redis://redis:6379"}, "config": "[[route]]\nreplay = true\n"}),
        json!({"admin": {"tokenSecret": "secret", "port": 9100}, "drain": {"delay": 10, "timeout": 300},
            "app": {"image": "app:1", "port": 8000, "wait": [], "command": ["gunicorn"], "args": ["app:app"],
                "env": [{"name": "NAME", "value": "value"}]},
            "podLabels": {"team": "shop"}, "podAnnotations": {"note": "1"}, "nodeSelector": {"disk": "fast"},
            "tolerations": [{"operator": "Exists"}], "affinity": {"nodeAffinity": {}},
            "imagePullSecrets": [{"name": "registry"}], "service": {"type": "NodePort", "port": 8080},
            "spool": {"sizeLimit": "4Gi"}}),
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
    ] {
        let why = Manifests::of_chart(&values).err().unwrap_or_else(|| panic!("{values} is taken"));
        assert!(why.contains(word), "{values}: {why}");
    }
}

#[test]
fn mistakes_are_seen() {
    let Some(mut manifests) = Manifests::of_kustomize("base") else { return };
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

/// Of whatever made them.
pub(crate) fn check(manifests: &Manifests, what: &str) {
    assert_eq!(manifests.mistakes(), [""; 0], "{what}");
    for deployment in manifests.of_kind("Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(unrestricted(pod), [""; 0], "{what}");
        let containers = containers(pod);
        assert!(containers.iter().all(|one| one["resources"]["requests"].is_object()), "{what}");
        // Where selectors differ from labels, nothing is ever found.
        let (wanted, labels) = (
            &deployment["spec"]["selector"]["matchLabels"],
            &deployment["spec"]["template"]["metadata"]["labels"],
        );
        assert!(wanted.as_object().unwrap().iter().all(|(name, value)| labels[name] == *value));
        let finds = |service: &&Value| {
            let wanted = service["spec"]["selector"].as_object().unwrap();
            wanted.iter().all(|(name, value)| labels[name] == *value)
        };
        assert_eq!(manifests.of_kind("Service").filter(finds).count(), 1, "{what}");
    }
    ends_in_order(manifests, what);
}

/// The configuration is valid, and fits what is said of the pod.
fn ends_in_order(manifests: &Manifests, what: &str) {
    let (pod, text) = (manifests.pod(), manifests.config());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxy.toml");
    fs::write(&file, text).unwrap();
    let mut check = Command::new(SEAWALL);
    check.args(["check", "--quiet", "--config"]).arg(&file).env("SEAWALL_ADMIN__TOKEN", "secret");
    let said = check.output().unwrap();
    assert!(said.status.success(), "{what}: {}", String::from_utf8_lossy(&said.stderr));

    let config: toml::Table = text.parse().unwrap();
    let seconds = |name: &str| {
        let text = config["drain"][name].as_str().unwrap();
        text.trim_end_matches('s').parse::<u64>().unwrap()
    };
    let longest = seconds("delay") + seconds("timeout");
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > longest + 5, "{what}");
    let place = config["admin"]["listen"].as_str().unwrap().replace("0.0.0.0", "127.0.0.1");
    let (seawall, app) = (&pod["initContainers"][0], &pod["containers"][0]);
    assert_eq!(seawall["restartPolicy"], "Always");
    assert_eq!(
        seawall["lifecycle"]["preStop"]["exec"]["command"],
        json!(["/seawall", "drain", "--admin", place])
    );
    let waits = &app["lifecycle"]["preStop"];
    match waits["sleep"]["seconds"].as_u64() {
        Some(seconds) => assert_eq!(seconds, longest),
        None => {
            let port = place.rsplit(':').next().unwrap();
            assert!(waits["exec"]["command"][2].as_str().unwrap().contains(port), "{what}");
        }
    }
}

fn containers(pod: &Value) -> Vec<&Value> {
    let all = ["initContainers", "containers"].into_iter().filter_map(|kind| pod[kind].as_array());
    all.flatten().collect()
}

/// What the Pod Security Standard "restricted" does not allow.
fn unrestricted(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for name in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod[name] == true {
            found.push(name.to_owned());
        }
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kind = volume.as_object().unwrap().keys().find(|key| *key != "name");
        if !kind.is_some_and(|kind| VOLUMES.contains(&kind.as_str())) {
            found.push(format!("volume {}", volume["name"]));
        }
    }
    let outer = &pod["securityContext"];
    for container in containers(pod) {
        let own = &container["securityContext"];
        let either = |name: &str| if own[name].is_null() { &outer[name] } else { &own[name] };
        let profile = &either("seccompProfile")["type"];
        let ports = container["ports"].as_array().into_iter().flatten();
        let drops = own["capabilities"]["drop"].as_array();
        let rules = [
            ("privileged", own["privileged"] != true),
            ("allowPrivilegeEscalation", own["allowPrivilegeEscalation"] == false),
            ("capabilities", drops.is_some_and(|drops| drops.contains(&"ALL".into()))),
            ("capabilities", own["capabilities"]["add"].is_null()),
            ("runAsNonRoot", *either("runAsNonRoot") == true),
            ("runAsUser", *either("runAsUser") != 0),
            ("seccompProfile", profile == "RuntimeDefault" || profile == "Localhost"),
            ("procMount", own["procMount"].is_null()),
            ("hostPort", ports.into_iter().all(|port| port["hostPort"].is_null())),
        ];
        let broken = rules.into_iter().filter(|(_, holds)| !holds);
        let name = container["name"].as_str().unwrap();
        found.extend(broken.map(|(rule, _)| format!("{name}: {rule}")));
    }
    found
}

/// Those that are part of the cluster, and none of the node.
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
