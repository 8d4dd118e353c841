"""What WhatsApp (Cloud API), Messenger and Instagram have in common: Meta's signature, its Graph API and its errors."""
