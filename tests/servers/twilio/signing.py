"""X-Twilio-Signature. https://www.twilio.com/docs/usage/webhooks/webhooks-security"""

import base64
import hashlib
import hmac
from collections.abc import Mapping


def signature(auth_token: str, url: str, params: Mapping[str, str]) -> str:
    """Of the whole URL with its query (never the fragment) and the form's parameters, sorted by name.

    The page's example: token 12345 over https://mycompany.com/myapp.php?foo=1&bar=2 gives RSOYDt4T1cUTdK1PDd93/VVr8B8=.
    """
    said = url + "".join(name + params[name] for name in sorted(params))
    return base64.b64encode(hmac.new(auth_token.encode(), said.encode(), hashlib.sha1).digest()).decode()
