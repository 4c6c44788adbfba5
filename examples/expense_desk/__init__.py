"""The expense desk: a folder of receipts, invoices and mails becomes typed, approved, booked expenses.

    python -m examples.expense_desk --yes

Read it in this order:

    expense     what the agent hands in for a document
    tools       what the agent may do: look a vendor up, book an amount
    desk        the agent, and one document on its way through it
    approvals   who says yes to a large amount
    ledger      which document is how far, so that a killed desk goes on where it was
    books       vendors and bookings, in SQLite; nothing is booked twice
    documents, progress, report, __main__   the folder, the words on the terminal, the result, the command line
"""
