"""What a start reads or takes besides what is stored: address, alerts, TLS authorities."""

from perene.api import listening_socket
from perene.core.errors import PereneError
from perene.delivery.addresses import addresses
from perene.doctor.finding import Finding, counted, ok, refusal
from perene.process.data_directory import is_held
from perene.settings import Settings
from perene.settings.alert_rules import read_alert_rules
from perene.settings.tls_authorities import count_authorities


def check_address(settings: Settings) -> Finding:
    """Look whether the service could listen where it shall; not while it does."""
    name, address = "address", f"{settings.host} port {settings.port}"
    try:
        if is_held(settings.data_dir):
            return ok(name, "Not looked at while a service runs on this data directory.")
    except OSError:
        pass  # the checks of the directory tell of it
    try:
        listening_socket(settings.host, settings.port).close()
    except PereneError as error:
        return refusal(name, error)
    return ok(name, f"A service could listen on {address}.")


def check_alerts(settings: Settings) -> Finding:
    """Look whether the receivers and the rules of alerts can be used; nobody is told anything."""
    try:
        rules = read_alert_rules(settings.alert_rules_file)
        receivers = addresses(settings.alert_addresses)
    except PereneError as error:
        return refusal("alerts", error)
    told = counted(len(receivers), "receiver", "are told", "is told")
    if receivers:
        told += "; `perene alert test` tries whether they hear"
    else:
        told = "they are kept and logged only"
    return ok("alerts", f"There are {len(rules)} rules for alerts; {told}.")


def check_authorities(settings: Settings) -> Finding:
    """Look whether the named file of TLS authorities can be used, if one is named."""
    name = "authorities"
    if settings.tls_ca_file is None:
        return ok(name, "For TLS the system's authorities are trusted.")
    try:
        count = count_authorities(settings.tls_ca_file)
    except PereneError as error:
        return refusal(name, error)
    more = counted(count, "certificate", "are", "is")
    return ok(name, f"For TLS {more} trusted besides the system's authorities.")
