//! What must hold of every manifest, however it is made.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::manifests::Manifests;

const SEAWALL: &str = env!("CARGO_BIN_EXE_seawall");

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
        let services: Vec<_> = manifests.of_kind("Service").filter(finds).collect();
        assert_eq!(services.len(), 1, "{what}");
        for port in services[0]["spec"]["ports"].as_array().unwrap() {
            // Those of sidecars are found from 1.32 on.
            assert!(is_port(&port["targetPort"], &pod["containers"]), "{what}: {port}");
        }
        for container in containers {
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let probe = &container[probe];
                let asked = [&probe["httpGet"], &probe["tcpSocket"]];
                for asked in asked.into_iter().filter(|asked| asked.is_object()) {
                    assert!(is_port(&asked["port"], &json!([container])), "{what}: {asked}");
                }
            }
        }
    }
    fits(manifests, what);
}

/// A number, or a name that one of these containers has given to one.
fn is_port(port: &Value, containers: &Value) -> bool {
    let mut named = containers.as_array().unwrap().iter().filter_map(|one| one["ports"].as_array());
    port.is_u64() || named.any(|ports| ports.iter().any(|one| one["name"] == *port))
}

/// What seawall goes by, of its file and its environment, key by key.
pub(crate) fn in_force(manifests: &Manifests) -> HashMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxy.toml");
    fs::write(&file, manifests.config()).unwrap();
    let mut check = Command::new(SEAWALL);
    check.arg("check").arg("--config").arg(&file);
    for variable in manifests.pod()["initContainers"][0]["env"].as_array().unwrap() {
        // Without a value it is a secret.
        check.env(
            variable["name"].as_str().unwrap(),
            variable["value"].as_str().unwrap_or("secret"),
        );
    }
    let said = check.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).unwrap();
    let keys = said.lines().filter_map(|line| {
        let (key, rest) = line.split_once(" = ")?;
        let (value, _whence) = rest.rsplit_once(" # ")?;
        Some((key.to_owned(), value.trim().trim_matches('"').to_owned()))
    });
    keys.collect()
}

/// The configuration is valid, and fits what is said of the pod.
fn fits(manifests: &Manifests, what: &str) {
    let (pod, config) = (manifests.pod(), in_force(manifests));
    let seconds = |name: &str| config[name].trim_end_matches('s').parse::<u64>().unwrap();
    let longest = seconds("drain.delay") + seconds("drain.timeout");
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace >= longest + seconds("trace.timeout") + 5, "{what}");
    let place = config["admin.listen"].replace("[::]", "127.0.0.1");
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
            let place = place.replacen("127.0.0.1:", "(\"127.0.0.1\", ", 1) + ")";
            assert!(waits["exec"]["command"][2].as_str().unwrap().contains(&place), "{what}");
        }
    }
    let probe = &app["livenessProbe"];
    if probe.is_object() {
        // Its failure runs the hook, too, for which seawall stays.
        assert!(probe["terminationGracePeriodSeconds"].as_u64().unwrap() <= 10, "{what}");
    }
    // Half of either, since each holds more than what is counted.
    let memory = &seawall["resources"]["limits"]["memory"];
    assert!(2 * bytes(&config["spool.total_memory"]) <= bytes(memory.as_str().unwrap()), "{what}");
    let mut volumes = pod["volumes"].as_array().unwrap().iter();
    let spool = volumes.find(|volume| volume["name"] == "spool").unwrap();
    let disk = spool["emptyDir"]["sizeLimit"].as_str().unwrap();
    assert!(2 * bytes(&config["spool.total_disk"]) <= bytes(disk), "{what}");
}

/// Of "1GiB", or of "1Gi".
fn bytes(size: &str) -> u64 {
    let (number, unit) = size.split_at(size.find(|c: char| !c.is_ascii_digit()).unwrap());
    let shift = match unit.trim_end_matches('B') {
        "Mi" => 20,
        "Gi" => 30,
        _ => panic!("{size}"),
    };
    number.parse::<u64>().unwrap() << shift
}

fn containers(pod: &Value) -> Vec<&Value> {
    let all = ["initContainers", "containers"].into_iter().filter_map(|kind| pod[kind].as_array());
    all.flatten().collect()
}

/// What the Pod Security Standard "restricted" does not allow.
pub(crate) fn unrestricted(pod: &Value) -> Vec<String> {
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
