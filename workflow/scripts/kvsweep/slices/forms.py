"""What is private by its form, whoever it belongs to: patterns, and what stands in their place.

Text in base64 and in archives is not looked into.
"""

from __future__ import annotations

import re

REMOVED, ADDRESS = "REMOVED", "ADDRESS"
USER, HOST = "user", "host"

HOMES, USERS, HOSTS = "home directories", "user names", "host names"
SECRETS, PLACES, PEOPLE = "tokens and passwords", "places on this machine", "users at hosts"
NETWORK, SERIALS = "network addresses", "serial numbers"

Rule = tuple[str, re.Pattern[str], str]

# -- home directories -------------------------------------------------------------------------------------------------

# A path's separator, as systems, JSON and addresses write it.
_SEP = r"(?:/|\\{1,4}/?|%2[Ff]|%5[Cc]|\\{1,4}u00(?:2[Ff]|5[Cc]))"
# Where homes are: at a root, on a drive, or below a few directories of a cluster's.
_ROOT = (
    r"(?:(?<![\w.-])/(?:var|usr|export|private|nfs|net|host|mnt|data|gpfs|lustre|cluster|beegfs|storage|shared|srv"
    r"|cygdrive|volumes?|Volumes)\d*(?:/[\w.-]{1,40}){0,2}|(?<![\w.-])/[a-z]"
    r"|(?<![A-Za-z])[A-Za-z](?::|%3[Aa])|(?<=/)/localhost|(?<=/)[\w.-]+\$?(?=\\)|(?<![\w.-]))"
)
# With a blank in it where the path surely goes on behind.
_PART = r"(?:[^/\\\s\"'<>|:;,%()\[\]{}=]|%20|%[89A-Fa-f][0-9A-Fa-f])+"
_HOME_NAME = rf"(?!Shared(?![\w.-])|Public(?![\w.-]))({_PART}(?: [A-Z][\w.-]*){{1,2}}(?=[/\\])|{_PART})"
HOME = re.compile(
    rf"((?:{_ROOT}{_SEP}(?:home\d*|[Uu]sers){_SEP}|(?<![\w.-])/(?:run/)?media/))(?!root(?![\w.-])){_HOME_NAME}"
)
_HOMES: tuple[Rule, ...] = (
    (HOMES, HOME, rf"\1{USER}"),
    (HOMES, re.compile(r"(?<![\w./-])/(?:var/)?root(?=[/\s\"':;,)\]]|$)"), f"/home/{USER}"),
    (HOMES, re.compile(r"(/var/folders/)[\w+]{2}/[\w+-]+"), rf"\1{USER}"),
    (HOMES, re.compile(r"~[A-Za-z_][\w.-]*(?=/)"), f"~{USER}"),
)

# -- tokens and passwords ---------------------------------------------------------------------------------------------

_SECRET_NAME = (
    r"(?:token|secret|passw(?:or)?d|pwd|passphrase|(?:api|access|private)[_-]?key|credentials?|signature|(?<![a-z])sig"
    r"|(?<![a-z])auth|session_?id)"
)
# Names that say nothing else, also where there are spaces behind them.
_SURE_NAME = r"(?:secret|passw(?:or)?d|passphrase|(?:api|access|private|secret)[_-]?key|credentials?)"
# Between a name and its value, in an assignment, JSON, a header or an address, with its quotes.
_IS = r"(?:\\?[\"'])?(?:=|%3D|:(?!/)|%3A)\s*(?:\\?[\"'])?"
_VALUE = r"[^\s\"'&;,\\]+"
_QUOTED = r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s\"']+)"
# Also where a shell's line goes on.
_BLANK = r"\s+(?:\\\s+)?"
# What llama.cpp's own -p may be: 512, 512,1024, 0-4096+512
NUMBERS = r"[\d.,:;x*+kKmMgG-]+"
_SECRETS: tuple[tuple[str, str], ...] = (
    (r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", REMOVED),
    (
        r"((?<![\w-])(?:sk-)?(?:ssh-(?:ed25519|rsa|dss)|ecdsa-sha2-[a-z0-9-]+)(?:@openssh\.com)?(?:\s|\+|%20|\\t)+)"
        r"AAAA(?:[A-Za-z0-9+/=]|%2[BbFf]|%3[Dd])*(?:[ \t]+(?!REMOVED)[^\s\"'\\]+)?",
        rf"\1{REMOVED}",
    ),
    (r"(?<![A-Za-z0-9+/])AAAA(?:[BC]3NzaC1|E2VjZHNh|[GI][A-Za-z0-9]{2}zay1)[A-Za-z0-9+/=]{8,}", REMOVED),
    (r"\bSHA256:[A-Za-z0-9+/]{43}(?![A-Za-z0-9+/])|\b(?:MD5:)?(?:[0-9a-f]{2}:){15}[0-9a-f]{2}\b", REMOVED),
    (r"(?i)((?:proxy-)?authorization(?:\\?[\"'])?\s*(?:[:=]|%3A)\s*(?:\\?[\"'])?)[^\r\n\"'\\]+", rf"\1{REMOVED}"),
    (r"(?i)\b((?:set-)?cookie\s*:\s*)[^\r\n\"']+", rf"\1{REMOVED}"),
    (r"(?i)\b((?:x-)?(?:api-key|auth-token)\s*:\s*)[^\s\"']+", rf"\1{REMOVED}"),
    (r"(?i)\b(bearer(?:\s|\+|%20)+)[A-Za-z0-9._~+/=-]{6,}", rf"\1{REMOVED}"),
    (r"\b(Bearer(?:\s|\+|%20)+)[A-Za-z0-9._~+/=-]+", rf"\1{REMOVED}"),
    (
        r"\b(?:hf_[A-Za-z0-9]{6,}|api_org_[A-Za-z0-9]{6,}|gh[pousr]_[A-Za-z0-9]{6,}|github_pat_\w{6,}"
        r"|gl(?:pat|dt|ptt)-[\w-]{6,}|xox[abeprs]-[\w-]{6,}|sk-[A-Za-z0-9][\w-]{10,}|(?:AKIA|ASIA)[0-9A-Z]{12,}"
        r"|AIza[\w-]{20,}|npm_[A-Za-z0-9]{10,}|pypi-[\w-]{16,}|dckr_pat_[\w-]{6,}|nvapi-[\w-]{6,}"
        r"|eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*)",
        REMOVED,
    ),
    (r"(://)[^\s'\"/@]+@", rf"\1{REMOVED}@"),
    (r"(?i)(%3A%2F%2F)(?:(?!%2F|%40)[^\s'\"/@&])+%40", rf"\1{REMOVED}%40"),
    (rf"(?i)({_SECRET_NAME}{_IS})(?!\d+(?!\S)){_VALUE}", rf"\1{REMOVED}"),
    (rf"(?i)({_SURE_NAME}\s*{_IS}){_VALUE}", rf"\1{REMOVED}"),
    # Of a model's tokens a log says "EOS token = 1" and "control token: 1": a variable's name is written otherwise.
    (rf"(\b[A-Z0-9]+_(?:TOKEN|KEY|AUTH)\s*{_IS}){_VALUE}", rf"\1{REMOVED}"),
    (rf"(?i)((?<!\S)--?(?:[a-z-]*{_SECRET_NAME}|hft){_BLANK}){_QUOTED}", rf"\1{REMOVED}"),
    (rf"((?<![^\s\"'(])-p{_BLANK})(?![\"']?{NUMBERS}[\"']?(?![^\s)])){_QUOTED}", rf"\1{REMOVED}"),
    (rf"(?i)(\b(?:sshpass|mysql\w*|mariadb\w*)\b[^\n|;]*?\s-p)(?=\S){_QUOTED}", rf"\1{REMOVED}"),
    (rf"(?i)((?<!\S)(?:-u|--(?:proxy-)?user(?:name)?)(?:\s+|=))(?!REMOVED)[^\s\"':]+:{_VALUE}", rf"\1{REMOVED}"),
    (rf"(?i)(\blogin\s+\S+\s+password\s+){_QUOTED}", rf"\1{REMOVED}"),
    # Behind a blank a value has a digit and a letter: other sentences speak of passwords, too.
    (
        rf"(?i)(\b(?:passw(?:or)?d|passphrase|passcode)(?:\s+is|\s+was)?\s+)(?=[^\s]*\d)(?=[^\s]*[a-z]){_VALUE}",
        rf"\1{REMOVED}",
    ),
)  # fmt: skip
SECRET_KEY = re.compile(rf"(?i)^(?:[\w-]*[_-])?{_SECRET_NAME}$")
SECRET_OPTION = re.compile(rf"(?i)^--?(?:[a-z-]*{_SECRET_NAME}|hft)$")

# -- machines and people ----------------------------------------------------------------------------------------------

_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_BEFORE_IP, _BEHIND_IP = r"(?<![\w.-])(?<![Vv]ersion )", r"(?![\w-]|\.\d)"
_PRIVATE_IP = (
    rf"(?:10\.{_OCTET}|192\.168|172\.(?:1[6-9]|2\d|3[01])|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])|169\.254)"
    rf"\.{_OCTET}\.{_OCTET}"
)
_PUBLIC_IP = rf"(?!0\.0\.0\.0|127\.|255\.)(?:{_OCTET}\.){{3}}{_OCTET}"
_HEX = r"[0-9A-Fa-f]"
_AT = r"(?:@|%40|\\{1,4}u0040|&#0*64;)"
_NETWORK: tuple[tuple[str, str, str], ...] = (
    (NETWORK, rf"(?:{_BEFORE_IP}|(?<=%2[Ff])|(?<=%3[AaDd])){_PRIVATE_IP}{_BEHIND_IP}", ADDRESS),
    # Four numbers with points may be a version: of others only where they are told to be an address.
    (
        NETWORK,
        rf"(?i)((?:://|@|\b(?:from|to|at|on|host|hosts|server|client|peer|inet|ip|addr|address|listening|connect\w*"
        rf"|\w+_(?:ip|addr))(?:\s*[=:]\s*|\s+)\"?))(?<![\w-]){_PUBLIC_IP}{_BEHIND_IP}",
        rf"\1{ADDRESS}",
    ),
    (NETWORK, rf"{_BEFORE_IP}{_PUBLIC_IP}(?=:\d{{2,5}}(?!\d)|/\d{{1,2}}(?![\d.]))", ADDRESS),
    (
        NETWORK,
        rf"(?i)(?<![\w:.])(?:fe80|f[cd]{_HEX}{{2}}|[23]{_HEX}{{3}})(?:(?::{_HEX}{{1,4}}){{7}}"
        rf"|(?::{_HEX}{{1,4}}){{0,5}}::(?:{_HEX}{{1,4}}:){{0,5}}{_HEX}{{0,4}})(?:%\w+)?(?![\w:])",
        ADDRESS,
    ),
    (NETWORK, rf"(?<![\w:-]){_HEX}{{2}}(?::{_HEX}{{2}}){{5}}(?![\w:-])", ADDRESS),
    (NETWORK, rf"(?<![\w:-])(?=[\d-]*[A-Fa-f]){_HEX}{{2}}(?:-{_HEX}{{2}}){{5}}(?![\w:-])", ADDRESS),
)  # fmt: skip
_UUID = rf"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
_ZEROS = "00000000-0000-0000-0000-000000000000"
_SERIALS: tuple[tuple[str, str, str], ...] = (
    (PLACES, rf"\b((?:GPU|MIG)-){_UUID}", r"\g<1>0"),
    (SERIALS, rf"(?<![\w-]){_UUID}(?![\w-])", _ZEROS),
    (
        SERIALS,
        r"(?i)((?:\b|_)(?:serial(?:[ _-]?(?:number|no\.?|num|id))?|asset[ _-]?tag|imei|wwn|udid)(?:\s*\([a-z ]+\))?"
        r"[\"']?\s*[:=#]\s*[\"']?)(?=[\w-]*\d)(?!0+(?!\w))[\w-]{4,}",
        rf"\1{REMOVED}",
    ),
    (SERIALS, r"(IOPlatformSerialNumber[\"']?\s*[:=]\s*[\"']?)\w+", rf"\1{REMOVED}"),
    (
        SERIALS,
        r"(?i)((?:machine|boot|product|system|hardware|board|host)[-_ ]?(?:uu)?id[\"']?\s*[:=]\s*[\"']?)[0-9a-f]{32}\b",
        rf"\1{REMOVED}",
    ),
    (SERIALS, r"(/dev/disk/by-(?:id|uuid|partuuid)/)[\w.:-]+", rf"\1{REMOVED}"),
)  # fmt: skip

BEFORE_NAMES: tuple[Rule, ...] = (
    *((SECRETS, re.compile(pattern), shown) for pattern, shown in _SECRETS),
    *_HOMES,
    *((kind, re.compile(pattern), shown) for kind, pattern, shown in (*_SERIALS, *_NETWORK)),
)
PERSON: Rule = (
    PEOPLE,
    re.compile(
        r"(?<![\w.+@%-])(?!git@|user@host|REMOVED@|(?:pp|tg|pg)[\d+]+@)[\w.+-]+"
        rf"{_AT}(?:ADDRESS|[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*)"
    ),
    f"{USER}@{HOST}",
)
LOCAL: Rule = (
    HOSTS,
    re.compile(
        r"(?<![\w./-])[A-Za-z0-9][\w-]*\.(?:local|lan|internal|home\.arpa|fritz\.box|localdomain)(?![\w.-])"
    ),
    f"{HOST}.local",
)
_ENDS = (
    *("token", "secret", "password", "passwd", "pwd", "passphrase", "key", "credential", "credentials"),
    *("signature", "auth", "session_id", "sessionid", "authorization", "bearer"),
    *("-p", "ssh-rsa", "ssh-ed25519", "sshpass"),
)


def goes_on(line: str) -> bool:
    """Whether the end of the line makes the next line's first word a secret."""
    return line[-40:].rstrip("\r\n\t \\\"':=").lower().endswith(_ENDS)
