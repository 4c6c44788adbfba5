"""What documents call things, in English, German, French, Spanish, Italian and Dutch: one row per concept.

`asks` are the words of a schema's property (its name, title or description) that mean the concept. `printed` are the
labels that documents use, in groups from the surest to the vaguest. A label that goes on with one of `never` means
something else ("Total VAT" is no total).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from agentkit.runtime.models.offline.words import fold, has_phrase, listed

__all__ = ["CONCEPTS", "Concept", "Kind", "concept_of", "is_label", "named"]

Kind = Literal["money", "date", "code", "text", "number", "name", "time", "percent"]


@dataclass(frozen=True)
class Concept:
    """A thing that documents label."""

    name: str
    kind: Kind
    asks: tuple[str, ...]
    printed: tuple[tuple[str, ...], ...]
    never: tuple[str, ...] = ()

    @cached_property
    def ranked(self) -> tuple[tuple[str, int], ...]:
        """The labels with their rank, the longest first."""
        top = len(self.printed)
        pairs = [
            (fold(form), top - at) for at, group in enumerate(self.printed) for label in group for form in _forms(label)
        ]
        return tuple(sorted(pairs, key=lambda pair: -len(pair[0])))


def _forms(label: str) -> set[str]:
    """The label, and with "no" (or "n°", which folds to it) where it has a bare "n"."""
    return {label, " ".join("no" if word == "n" else word for word in label.split())}


_TAX_WORDS = listed(
    """
    vat, v.a.t, tax, taxes, sales tax, gst, hst, pst, qst, tps, tvq, mwst, ust, mehrwertsteuer, umsatzsteuer, steuer,
    tva, taxe, taxes, iva, i.v.a, impuesto, impuestos, imposta, btw, moms, mva, steuerbetrag
    """
)
_NET_WORDS = listed(
    """
    subtotal, sub total, net, net amount, net total, netto, nettobetrag, nettosumme, zwischensumme, summe netto, ht,
    hors taxe, hors taxes, sous total, base imponible, base, subtotale, imponibile, subtotaal, excl, excluding, before
    tax, taxable, ex vat, zzgl
    """
)
_ASIDE_WORDS = listed(
    """
    savings, saved, discount, rabatt, remise, descuento, sconto, korting, points, items, qty, quantity, hours, distance,
    tip, gratuity, trinkgeld, change, wechselgeld, ruckgeld, rendu, cambio, resto, miles, km, kg, time, weight, nights,
    pages
    """
)

CONCEPTS: Final[tuple[Concept, ...]] = (
    Concept(
        "tax",
        "money",
        listed("vat, tax, taxes, gst, mwst, tva, iva, btw, sales tax"),
        (
            listed(
                """
                total vat, total tax, vat amount, tax amount, steuerbetrag, mwst betrag, montant tva, total tva, cuota
                iva, totale iva, btw bedrag, summe mwst, total iva
                """
            ),
            _TAX_WORDS,
        ),
        listed(
            """
            id, no, nr, number, reg, registration, rate, identification, idnr, intracommunautaire, nummer, numero, n,
            office, invoice, date, point, year, subtotal, return, total excl, total net, net
            """
        ),
    ),
    Concept(
        "tip",
        "money",
        listed("tip, gratuity, service charge"),
        (listed("tip, gratuity, trinkgeld, pourboire, propina, mancia, fooi, service charge, service"),),
    ),
    Concept(
        "discount",
        "money",
        listed("discount, rebate, savings"),
        (
            listed(
                """
                discount, total discount, rabatt, nachlass, remise, descuento, sconto, korting, you saved, promo
                """
            ),
        ),
    ),
    Concept(
        "subtotal",
        "money",
        listed("subtotal, sub total, net, net amount, before tax, excluding tax, without tax, taxable, pretax"),
        (
            listed(
                """
                subtotal, sub total, net amount, net total, total net, nettobetrag, zwischensumme, nettosumme, summe
                netto, gesamt netto, total ht, montant ht, sous total, base imponible, subtotale, totale imponibile,
                imponibile, subtotaal, total excl, totaal excl, total before tax
                """
            ),
            listed("net, netto, taxable, base, ht"),
        ),
    ),
    Concept(
        "shipping",
        "money",
        listed("shipping, delivery fee, postage, freight"),
        (
            listed(
                """
                shipping, delivery fee, delivery, postage, freight, versand, versandkosten, livraison, frais de port,
                envio, spedizione, verzendkosten
                """
            ),
        ),
    ),
    Concept(
        "total",
        "money",
        listed(
            """
            total, amount, gross, grand total, price, cost, sum, paid, fare, spent, charge, charged, value, betrag,
            montant, importe, money
            """
        ),
        (
            listed(
                """
                grand total, total amount, total paid, amount paid, amount charged, total charged, order total, invoice
                total, total price, total fare, total incl, total ttc, montant ttc, total a payer, gesamtbetrag,
                gesamtsumme, rechnungsbetrag, endbetrag, bruttobetrag, gesamtpreis, total factura, importe total, total
                a pagar, totale complessivo, totale fattura, totale documento, totaalbedrag, totaal incl, totaal te
                betalen, total cost, you paid, total payable, total charges, reisepreis, montant total, totale da pagare
                """
            ),
            listed("total, summe, gesamt, totale, totaal, brutto, montant paye, endsumme, total general"),
            listed(
                """
                total due, amount due, balance due, amount payable, net a payer, a payer, zu zahlen, zahlbetrag, te
                betalen, a pagar, da pagare, zu zahlender betrag, balance, fallig
                """
            ),
            listed(
                """
                amount, betrag, montant, importe, importo, bedrag, fare, price, preis, prix, precio, prezzo, prijs,
                fahrpreis, charged, charge, sum, paid, cost
                """
            ),
        ),
        (*_TAX_WORDS, *_NET_WORDS, *_ASIDE_WORDS),
    ),
    Concept(
        "due_date",
        "date",
        listed("due date, due, payable by, payment deadline, pay by, deadline"),
        (
            listed(
                """
                due date, payment due date, payment due, due by, due on, pay by, payable by, falligkeitsdatum, fallig
                am, fallig bis, zahlbar bis, zahlungsziel, date d'echeance, date d’echeance, echeance, a regler avant
                le, payable avant le, fecha de vencimiento, vencimiento, vence, scadenza, data scadenza, vervaldatum, te
                betalen voor, uiterlijk
                """
            ),
            listed("due, fallig"),
        ),
    ),
    Concept(
        "check_in",
        "date",
        listed("check in, checkin, arrival, arrival date, start date, start, from date, begins"),
        (
            listed(
                """
                check in, checkin, check in date, arrival date, arrival, anreise, arrivee, llegada, entrada, arrivo,
                aankomst, start date, von, start
                """
            ),
        ),
        listed("time"),
    ),
    Concept(
        "check_out",
        "date",
        listed("check out, checkout, departure date, end date, end, to date, until, ends"),
        (
            listed(
                """
                check out, checkout, check out date, departure date, departure, abreise, depart, salida, partenza,
                vertrek, end date, bis, end
                """
            ),
        ),
        listed("time"),
    ),
    Concept(
        "date",
        "date",
        listed(
            """
            date, purchased at, purchased, issued, issue date, invoice date, purchase date, transaction date, datum,
            day, when, fecha, data, incurred
            """
        ),
        (
            listed(
                """
                invoice date, date of issue, issue date, issued on, issued, date issued, receipt date, transaction date,
                order date, purchase date, bill date, billing date, rechnungsdatum, belegdatum, kaufdatum,
                ausstellungsdatum, bestelldatum, date de facture, date de la facture, date d'emission, date d’emission,
                date de facturation, date d'achat, fecha de factura, fecha factura, fecha de emision, fecha emision,
                data fattura, data documento, data emissione, data di emissione, factuurdatum, travel date, date of
                travel, flight date, trip date, payment date, paid on, date paid, date of purchase, reisedatum, sale
                date
                """
            ),
            listed(
                """
                date, datum, fecha, data, le, vom, du, day, date time, datum uhrzeit, date heure, fecha hora
                """
            ),
        ),
        listed(
            """
            due, echeance, vencimiento, scadenza, birth, expiry, expires, expiration, valid, delivery, lieferdatum,
            fallig
            """
        ),
    ),
    Concept(
        "invoice_number",
        "code",
        listed(
            """
            invoice number, invoice no, invoice id, receipt number, receipt no, receipt id, document number, bill
            number, folio number, rechnungsnummer, invoice, number, belegnummer, reference number, document id, ticket
            number
            """
        ),
        (
            listed(
                """
                invoice number, invoice no, invoice nr, invoice id, invoice num, invoice #, receipt number, receipt no,
                receipt id, receipt #, bill number, bill no, folio number, folio no, folio #, tax invoice no,
                rechnungsnummer, rechnungsnr, rechnungs nr, rechnung nr, rechnung nummer, belegnummer, beleg nr,
                belegnr, bon nr, bonnr, quittungsnr, quittung nr, quittungsnummer, numero de facture, facture n, facture
                no, facture numero, n facture, n de facture, no facture, recu n, ticket n, numero de factura, factura n,
                factura no, factura num, n factura, n de factura, numero factura, numero fattura, fattura n, fattura no,
                fattura nr, n fattura, n documento, documento n, ricevuta n, scontrino n, factuurnummer, factuur nr,
                bonnummer, kassabon nr, statement number, credit note no, n. fattura, factura numero, fattura numero,
                num factura
                """
            ),
            listed(
                """
                invoice, receipt, rechnung, beleg, folio, facture, factura, fattura, factuur, quittung, bill, ticket
                number, ticket no, doc no, document no, bon, kassabon, kassenbon, scontrino, recibo, documento, check,
                chk, reference number
                """
            ),
            listed(
                """
                ticket, ref, reference, number, no, nr, order number, order no, transaction id, transaction id, trip id,
                order, bestellung, auftrag, commande, pedido, ordine
                """
            ),
        ),
    ),
    Concept(
        "order_number",
        "code",
        listed("order number, order no, order id, order, purchase order, po number"),
        (
            listed(
                """
                order number, order no, order id, order #, purchase order, po number, po no, bestellnummer, bestellung
                nr, bestell nr, auftragsnummer, auftrag nr, numero de commande, commande n, numero de pedido, pedido n,
                numero ordine, ordine n, ordernummer, bestelnummer
                """
            ),
            listed("order, bestellung, commande, pedido, ordine, bestelling"),
        ),
    ),
    Concept(
        "booking_reference",
        "code",
        listed(
            """
            booking reference, booking code, booking number, pnr, confirmation, confirmation number, confirmation code,
            reservation, record locator
            """
        ),
        (
            listed(
                """
                booking reference, booking ref, booking code, booking number, booking no, booking id, confirmation
                number, confirmation no, confirmation code, reservation number, reservation code, record locator, pnr,
                buchungscode, buchungsnummer, reservierungsnummer, reference de reservation, numero de reservation,
                localizador, codice prenotazione, boekingsnummer, dossier
                """
            ),
            listed("confirmation, reservation, booking, buchung"),
        ),
    ),
    Concept(
        "customer_number",
        "code",
        listed("customer number, customer id, client number, account number, member number"),
        (
            listed(
                """
                customer number, customer no, customer id, client id, client no, account number, account no,
                kundennummer, kunden nr, kdnr, numero client, n client, numero de cliente, codice cliente, klantnummer,
                member no
                """
            ),
        ),
    ),
    Concept(
        "tax_id",
        "code",
        listed("vat id, tax id, vat number, tax number, ein, siret, vat registration"),
        (
            listed(
                """
                vat id, vat no, vat number, vat reg no, vat registration, tax id, tax no, tax number, gst no, ust idnr,
                ust id, uid, steuernummer, steuer nr, n tva, tva intracommunautaire, numero tva, nif, cif, p iva,
                partita iva, btw nummer, btw nr, abn, ein, siret, mva, st nr
                """
            ),
            listed("vat, tva, iva, btw"),
        ),
    ),
    Concept("iban", "code", listed("iban, bank account"), (listed("iban, bankverbindung, bank account, account"),)),
    Concept(
        "flight_number",
        "code",
        listed("flight number, flight no, flight, train number, train"),
        (
            listed(
                """
                flight number, flight no, flight, flugnummer, flug, vol, vuelo, volo, vlucht, train number, train no,
                train, zug, tren, treno
                """
            ),
        ),
        listed("date"),
    ),
    Concept(
        "seat",
        "code",
        listed("seat, seat number"),
        (listed("seat number, seat no, seat, sitz, sitzplatz, siege, place, asiento, posto, stoel"),),
    ),
    Concept("gate", "code", listed("gate"), (listed("gate, flugsteig, porte, puerta, uscita"),)),
    Concept(
        "room",
        "code",
        listed("room, room number"),
        (
            listed(
                """
                room number, room no, room, zimmer nr, zimmer, chambre n, chambre, habitacion, camera, kamer
                """
            ),
        ),
        listed("charge, rate, service"),
    ),
    Concept(
        "vendor",
        "name",
        listed(
            """
            vendor, merchant, supplier, seller, store, shop, company, issuer, issued by, provider, payee, restaurant,
            hotel, airline, business, sender, biller, vendor name, verkaufer, lieferant, fournisseur, proveedor,
            fornitore, leverancier, retailer, carrier
            """
        ),
        (
            listed(
                """
                vendor, merchant, supplier, seller, sold by, issued by, organiser, organizer, veranstalter,
                organisateur, billed from, store, provider, payee, verkaufer, lieferant, handler, rechnungssteller,
                fournisseur, vendeur, marchand, emetteur, proveedor, vendedor, comercio, emisor, fornitore, venditore,
                cedente, esercente, leverancier, verkoper, billed by, payable to
                """
            ),
            listed("airline, carrier, operated by, operator, hotel, restaurant, company, business"),
        ),
        listed("no"),
    ),
    Concept(
        "customer",
        "name",
        listed("customer, client, buyer, bill to, billed to, recipient, bill to name, customer name"),
        (
            listed(
                """
                bill to, billed to, invoice to, sold to, customer name, customer, client name, client, buyer,
                rechnungsempfanger, rechnung an, kunde, auftraggeber, facture a, client facture, destinataire, facturar
                a, cliente, destinatario, intestatario, klant, factuur aan, recipient
                """
            ),
            listed("ship to, attn, attention, to, an, para"),
        ),
        listed("no, id, number, since, service, nr"),
    ),
    Concept(
        "person",
        "name",
        listed(
            """
            passenger, guest, traveler, traveller, rider, guest name, passenger name, employee, person, attendee,
            contact, cardholder, full name, employee name
            """
        ),
        (
            listed(
                """
                passenger name, passenger, guest name, guest, traveler, traveller, rider, employee, contact person,
                contact name, contact, cardholder, passagier, fluggast, reisender, gast, name des passagiers, nom du
                passager, passager, voyageur, pasajero, huesped, viajero, passeggero, ospite, viaggiatore, reiziger,
                submitted by
                """
            ),
            listed("name, nom, nombre, nome, naam"),
        ),
        listed("no, id, number, service, receipt"),
    ),
    Concept(
        "driver",
        "name",
        listed("driver"),
        (listed("driver, fahrer, chauffeur, conductor, autista, your driver"),),
        listed("id, no, license, tip"),
    ),
    Concept(
        "origin",
        "text",
        listed(
            """
            origin, from, departure airport, departure city, pickup, pick up, start location, depart from, departure
            station
            """
        ),
        (
            listed(
                """
                from, origin, pickup, pick up, picked up, von, abholung, start, de, desde, da, van, departing, depart,
                departure, abfahrt, abflug, depart de
                """
            ),
        ),
        listed("date, time"),
    ),
    Concept(
        "destination",
        "text",
        listed(
            """
            destination, to, arrival airport, arrival city, dropoff, drop off, end location, arrival station
            """
        ),
        (
            listed(
                """
                to, destination, dropoff, drop off, dropped off, nach, ziel, vers, a, hasta, naar, arriving, arrival,
                ankunft
                """
            ),
        ),
        listed("date, time"),
    ),
    Concept(
        "address",
        "text",
        listed("address, street, location address, billing address"),
        (listed("address, billing address, adresse, anschrift, direccion, indirizzo, adres"),),
        listed("email, mail"),
    ),
    Concept(
        "description",
        "text",
        listed(
            """
            description, purpose, subject, memo, notes, note, reason, summary, what, business purpose, justification,
            comment, remark, title
            """
        ),
        (
            listed(
                """
                business purpose, purpose, description, beschreibung, verwendungszweck, zweck, objet, asunto, concepto,
                oggetto, causale, omschrijving, memo, reason, notes, note, title, titel
                """
            ),
            listed("subject, betreff, re, onderwerp"),
        ),
    ),
    Concept(
        "payment_method",
        "text",
        listed("payment method, paid by, paid with, payment type, method of payment, payment, card type, card"),
        (
            listed(
                """
                payment method, payment type, paid by, paid with, paid via, method of payment, method, zahlungsart,
                zahlungsmethode, bezahlt mit, zahlung, mode de paiement, moyen de paiement, reglement, paiement, forma
                de pago, metodo de pago, pagamento, metodo di pagamento, betaalmethode, betaald met, betaalwijze,
                payment, card
                """
            ),
        ),
        listed("terms, due, date, reference"),
    ),
    Concept(
        "payment_terms",
        "text",
        listed("payment terms, terms"),
        (
            listed(
                """
                payment terms, terms, zahlungsbedingungen, conditions de paiement, condiciones de pago, termini di
                pagamento, betalingstermijn
                """
            ),
        ),
    ),
    Concept("country", "text", listed("country"), (listed("country, land, pays, pais, paese"),)),
    Concept(
        "phone",
        "text",
        listed("phone, telephone, phone number, mobile"),
        (listed("phone, tel, telephone, telefon, telefono, telefoon, mobile, mobil, fon"),),
    ),
    Concept(
        "quantity",
        "number",
        listed("quantity, qty, pieces, units"),
        (listed("quantity, qty, menge, anzahl, quantite, qte, cantidad, cant, quantita, aantal"),),
    ),
    Concept(
        "nights",
        "number",
        listed("nights, number of nights"),
        (listed("number of nights, nights, nachte, ubernachtungen, nuits, nuitees, noches, notti, nachten"),),
    ),
    Concept(
        "guests",
        "number",
        listed("guests, number of guests, people, persons, attendees count, covers, party size"),
        (
            listed(
                """
                guests, number of guests, covers, persons, people, personen, gaste, couverts, personas, coperti,
                personen
                """
            ),
        ),
    ),
    Concept(
        "distance",
        "number",
        listed("distance, kilometers, miles, km"),
        (listed("distance, distanz, strecke, distancia, distanza, afstand, kilometers, miles"),),
    ),
    Concept(
        "tax_rate",
        "percent",
        listed("tax rate, vat rate, tax percent, vat percent, tax percentage, rate percent"),
        (listed("vat rate, tax rate, steuersatz, taux, tipo iva, aliquota, btw tarief"), _TAX_WORDS),
    ),
)

_BY_NAME: Final[Mapping[str, Concept]] = {concept.name: concept for concept in CONCEPTS}
_PRINTED: Final = frozenset(label for concept in CONCEPTS for label, _ in concept.ranked)
_INCLUDING = (
    "incl",
    "including",
    "inclusive",
    "with",
    "inkl",
    "einschl",
    "ttc",
    "includes",
    "after",
    "and",
    "plus",
    "inclusief",
)


def concept_of(words: str, *, kinds: tuple[Kind, ...]) -> Concept | None:
    """The concept of these kinds that a property's words ask for: the longest match; of equals the first row."""
    folded = _without_inclusions(fold(words))
    matched = [
        (max(len(ask) for ask in asked), concept) for concept in CONCEPTS if (asked := _asked(concept, folded, kinds))
    ]
    money = [pair for pair in matched if pair[1].kind == "money"]
    if any(concept.name == "tax" for _, concept in money):  # "amount of VAT" asks for the tax and not for the total
        matched = [pair for pair in matched if pair not in money or pair[1].name == "tax"]
    return max(matched, key=lambda pair: pair[0])[1] if matched else None


def _asked(concept: Concept, folded: str, kinds: tuple[Kind, ...]) -> list[str]:
    return [ask for ask in concept.asks if has_phrase(folded, (ask,))] if concept.kind in kinds else []


def _without_inclusions(folded: str) -> str:
    """The words without "including tax" and the like, which say how a total is counted and not that a tax is meant."""
    for word in _INCLUDING:
        for tax in _TAX_WORDS:
            folded = folded.replace(f"{word} {fold(tax)}", "")
    return folded


def named(name: str) -> Concept:
    """The concept of this name."""
    return _BY_NAME[name]


def is_label(folded: str) -> bool:
    """Whether the folded text is a label that documents print, and nothing else."""
    return folded in _PRINTED
